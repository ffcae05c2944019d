// Package restore writes the files of a tree to a target.
//
// One goroutine walks the tree in path order, makes folders and decides what becomes of
// each file. What has to be written it collects, many thousand files at a time: their chunks are
// looked up and ordered by place, and neighbours are read as one range, so that each pack is read
// from front to back and each segment opened once, whichever folders its files are in.
//
//	         ┌─ folders are made, existing files compared
//	walk ────┼─ collect ── order by pack and offset ── ranges ─┐
//	         └─ links, devices, empty files ───────────────────┴─► workers ─► target
//
// A worker reads a range, opens its segments, checks every chunk against its id and writes it
// to all files that need it. Small files are made, written and finished in one go; large ones are
// open until their last chunk has come. Whoever finishes the last file of a folder sets the folder's
// metadata, and so on upwards.
//
// Damage is the matter of the files that need what is damaged: each is reported,
// removed, and everything else restored. A chunk that can be read from another pack is.
package restore
