// Package repo is a deduplicating, encrypted repository of snapshots, to embed in other
// programs. The command snap is a thin client of it.
//
// A repository lies in a [Store]: a folder ([OpenStore] opens one by URL) or anything
// that implements five operations on whole files. [Create] makes one, [Open] opens it
// with a [Credential]. [Repo.Backup] saves what a [Source] holds as a snapshot,
// [Repo.Restore] brings it back, [Repo.FS] reads single files.
//
// Nothing is printed and no goroutine outlives the call that started it. Errors can be
// told apart with errors.Is and the variables below; a context ends every call, with its
// error or its cause. A Repo is safe for concurrent use. Several programs may use one
// repository at once.
//
// Many types, such as [Entry], [Snapshot] and [Source], are names for types of packages
// below internal, where their fields and methods are described:
//
//	go doc github.com/snapkeep/snap/internal/tree.Entry
//
// The package builds for Linux alone; packages chunker, pack and index build elsewhere as well.
//
// The bytes in the store are described in docs/format.md.
package repo
