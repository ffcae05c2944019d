// Package cached keeps files of a distant store in a local folder, so that they are not read from it
// again: those whose names are the hash of their bytes, as they are stored, that is encrypted.
//
// A [Cache] has two sides. The [Cache.Writer] is the store as it is, but that what is written through it is
// kept as well. The [Cache.Reader] answers reads from the folder where it can. Neither answers from the folder
// whether a file is there: Stat, List and Remove are always the store's. Whoever decides about
// existence, or wants to know whether the store's bytes are whole, reads the store.
//
// Nothing that is kept is believed: a file is hashed when it is kept and before it is first used by a process, and one
// that is damaged is dropped. The folder may be deleted at any time, several processes may use it, and whatever fails in
// it costs time only. Nothing is synced to the disk.
package cached
