// Package vectortest reads the vectors of the repository's format in docs/vectors, whose
// form docs/vectors/README.md describes. Tests of decoders run them, and fuzz targets start from
// them. It imports nothing of the engine.
//
// The vectors are made by the program in generate, by hand from docs/format.md and not with the
// engine's encoders.
package vectortest

//go:generate go run ./generate
