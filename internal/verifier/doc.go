// Package verifier reads a repository by docs/format.md alone. It shares no code with
// the engine, only the primitives beneath both (BLAKE3, XChaCha20-Poly1305, zstd, age), so
// that an error of the engine that its writer and its reader make alike shows here.
//
// Open opens a repository in a folder, Verify checks everything that the key opens and lists
// each file of each snapshot with the hash of its content, Extract writes plain files: a
// way to one's data should the engine fail. By default the index is not
// looked at: where chunks are is read from the packs' own directories.
//
// Command snapverify is the program. The package prefers plain code to speed: it uses one
// goroutine and about 100 bytes of memory for each chunk in the repository.
package verifier
