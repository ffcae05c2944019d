// Package index says which pack and segment hold which chunk.
//
// It has three layers. The format: index files of the repository, with Encode, Decode and Scan
// (docs/format.md section 7). A Set: the rows that a run uses, those of all index files and
// those of packs that it wrote itself, for lookups, iteration and marks. A Cache: a local
// folder that keeps the rows of index files between runs as sorted, memory-mapped tables.
//
// Sealing, naming and storing index files is left to the caller.
//
// No step holds all rows on the heap: what is sorted is sorted in runs and merged as streams,
// and tables are read where the operating system maps them. A cache is never proof: rows exist
// only as long as an index file of the repository lists their pack, and damage to the local
// folder costs a rebuild.
//
// A Set is safe for concurrent use.
package index
