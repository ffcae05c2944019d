// Package chunker cuts bytes into chunks at places that their content decides,
// so that an insertion moves the cuts around it and leaves the others alone.
//
// A cut is looked for once a chunk has MinSize bytes: it ends after the first
// byte where the Rabin fingerprint of the last 64 bytes, taken modulo a secret
// irreducible polynomial of degree 53, has AverageBits low zero bits, and at
// MaxSize at the latest. Whether a byte is a candidate depends on these 64 bytes
// alone, never on where the chunk began; that is why several places of a buffer
// are searched at once and why a search can be resumed anywhere.
//
// The polynomial and the sizes are fixed when a repository is created: other
// values cut elsewhere and old chunks are not found again. The rule itself is
// frozen as well. It gives the cuts of github.com/restic/chunker with the same
// polynomial, and the tests compare the two.
//
// # Zero bytes
//
// The fingerprint of 64 zero bytes is zero. A run of zeros is therefore cut at
// every MinSize, which makes its chunks equal to one another and thus cheap, but
// data padded with zeros is cut more finely than the average says.
//
// # Sizes
//
// [Files] suits file trees and dumps, [Database] what is changed in place. The
// mean size of a chunk is MinSize plus two to the power of AverageBits where data
// look random, and little more than MinSize where zeros abound.
//
// What five daily states took, in MiB of different chunks, and how many these
// were: of a SQLite database of 344 MiB (1,500 scattered and 6,000 clustered
// updates and 8,000 insertions a day), and of an ext4 image of 1,500 MiB with
// that database, a log and a few hundred changed files.
//
//	MinSize, bits   database         image
//	 16 KiB, 14       659   39,557
//	 32 KiB, 14       847   26,320   1,724   49,378
//	 64 KiB, 15     1,161   18,302   2,123   31,395
//	128 KiB, 16     1,466   11,652   2,472   18,648
//	512 KiB, 20     1,756    3,508   2,844    5,312
//
// With the same mean, a large MinSize and few bits store less than the reverse,
// because the sizes then vary less: on pages of random bytes 64 KiB with 15 bits
// took 356 MiB and 32 KiB with 16 took 384.
//
// # Secrecy
//
// Whoever knows the polynomial can recognise known content by its chunk sizes.
// Whoever sees enough chunk sizes of known content can compute the polynomial:
// the sizes need to be hidden too, which is the business of the pack format.
//
// The package does no I/O of its own, keeps no state between calls and starts
// no goroutines. A [Cutter] may be shared by any number of goroutines.
package chunker
