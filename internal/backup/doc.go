// Package backup is the engine that turns a source into a tree.
//
//	            ┌─ batches of small files ─► workers ─┐
//	scanner ────┤                                     ├─► chunks.Savers ─► packs
//	   │        └─ large files ─► readers ─► blocks ──┘
//	   └─ units (parts of directories, in path order) ─► emitter ─► tree.Builder
//
// The scanner walks the source in path order beside the tree of the parent snapshot. A
// run of a directory whose stat digest is unchanged is reused as it is; of other runs
// the entries are compared one by one, and files that changed are read. Small files are
// collected over a window, ordered so that alike ones stand together, and saved in
// batches; large files are cut by the chunker, a block at a time. The emitter waits for
// the files of each unit and adds it to the new tree.
//
// All queues are bounded: entries on their way, files in the window, blocks of large
// files. Errors of the source become problems of single files; errors of the repository
// end the run.
package backup
