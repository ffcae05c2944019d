// Package sftp is the source that reads a machine through its SFTP server, with nothing installed there.
//
// The protocol carries less than a file has: sizes, owners, permissions and times in whole seconds. There are no inode
// numbers, hard links, attributes, ACLs, device numbers or holes. A file counts as unchanged if its size, time, owner and
// permissions are; Now is what makes the backup doubt files that changed a moment ago. Long runs of zeros in large files
// are taken for holes.
//
// One connection carries many requests at a time: folders are listed ahead of the walk, small files are fetched side by
// side, large ones by many reads in flight. All of that has bounds. A connection that breaks is made again and what was
// under way on it is done again.
//
// # Links
//
// The server opens paths, and follows links in them: there is no way to forbid it. A folder or file that was opened is
// read only if its path resolves to itself at that time, and the open file has the kind, owner, group and permissions that
// were listed, and the size and time that a look at the path gives. So no link that lies there is ever followed, nor one that takes a file's
// place for good. Who swaps links back and forth on the source at the right moments can pass off another file that has the
// same owner, group, permissions, size and time, or the folders of such files. The agent can not be deceived like that.
//
// Everything that a server sends is hostile input: it ends in an error, or in a problem of one entry.
package sftp
