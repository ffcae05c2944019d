// Package parity makes and uses Reed–Solomon shards beside packs, so that a pack which storage has damaged
// can be made whole again without any key (docs/format.md section 13.1).
//
// A pack is cut into shards, which take turns among stripes: neighbours are in different ones, so that a wound
// is spread over many. Each stripe has two parity shards and survives the loss of any two. Checksums tell
// which shards are bad; whether the outcome is right, only the pack's name tells.
package parity
