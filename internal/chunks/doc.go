// Package chunks saves chunks in packs and loads them again. It joins the formats of
// packages pack and index with a store: engines above it know chunk ids only.
//
// A Writer serves one run. Its Savers, one a goroutine, hash, deduplicate, compress,
// seal, verify and append what they made to the open pack of its class and Life, one at a time.
// Nothing is indexed before its pack is durable, and nobody else refers to what no index file names:
//
//	Saver ─┐
//	Saver ─┼─ sealed segments ─► open pack ─► store ─► index file ─► rows of the index
//	Saver ─┘
//
// A Loader reads: it looks a chunk up, reads its segment in one range, opens it and
// checks each chunk that it hands out against its id.
package chunks
