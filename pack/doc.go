// Package pack is the format of the files that hold chunks (docs/format.md section 6).
//
// Chunks of one kind are compressed together and sealed as a segment; segments stand
// one behind the other in a pack, and a sealed directory at the pack's end says which
// chunks they hold. A pack is named by the plain BLAKE3 of its bytes, so anybody can
// verify it without a key.
//
// The package makes and reads bytes. It knows no store, no index and no file system:
// a Writer writes to any io.Writer, and ReadDirectoryFrom reads from any io.ReaderAt.
// Encoders, Decoders and Hashers serve one goroutine each; everything else may be
// shared.
package pack
