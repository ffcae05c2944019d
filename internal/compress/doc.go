// Package compress turns bytes into zstd frames and back, with bounded memory on
// both sides (docs/format.md sections 5 and 6).
//
// Nothing grows: what would not shrink by a 32nd is left alone, and the caller stores
// it as it is. A [Decompressor] is told how long the result must be and takes memory
// for no more, whatever a frame says about itself. One concurrent call of a
// [Compressor] holds an encoder of 3 MiB (fastest), 5 MiB (default), 8 MiB (better)
// or 43 MiB (max).
package compress
