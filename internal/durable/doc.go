// Package durable writes files that survive a crash of the machine and that
// are never seen half written.
//
// A [Dir] is a folder held open by descriptor: everything below it is reached
// through that descriptor, so that the folder may be renamed meanwhile and no
// symbolic link leads out of it. [Dir.NewFile] starts a file that is visible
// under no name; [File.Commit] gives it one that must not be taken.
//
// # The order of system calls
//
// Writing a file named a/b is, on Linux:
//
//	openat(dir, ".", O_TMPFILE)            no name yet: a crash leaves nothing
//	write, write, …                        sync_file_range starts writing early
//	mkdirat a, fsync of its parent         once for each folder and process
//	openat a                               before linking, see below
//	fsync of the file                      contents and size are on the disk
//	close, checked                         of the descriptor that wrote
//	linkat(/proc/self/fd/N, a, "b")        fails if b exists; b is whole
//	fsync of a                             the name is on the disk
//
// Where the file system has no O_TMPFILE, the file is written under a random
// name in the folder [TempName] and renamed with RENAME_NOREPLACE, or where
// that too is missing, linked and unlinked.
//
// An fsync that failed is never repeated: the kernel marks pages clean after a
// failure, so that a second fsync would report success for lost data. The file
// is dropped and the error returned. The folder is opened before its entry is
// made because a descriptor reports the write errors that happen after it was
// opened.
//
// Nothing that exists has its mode changed. Files are made with mode 0600 and
// folders with 0700.
//
// What a crash can leave: no name, or a name with the whole file, and with
// named temporary files a file in [TempName], which [Dir.CleanTemp] removes.
//
// A Dir is safe for concurrent use; a File belongs to one goroutine at a time.
// On Windows folders cannot be synced, and names are as durable as the file
// system makes them.
package durable
