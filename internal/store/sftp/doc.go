// Package sftp keeps a store in a folder of a server that is reached by SFTP.
//
// A file data/3f/3f2a is the file data/3f/3f2a below the folder, as in package
// local, and the folder "tmp" holds files that are being written.
//
// A file is written in this order: open tmp/RANDOM, write, fsync@openssh.com,
// close, hardlink@openssh.com to its name, open and fsync the folder, remove
// tmp/RANDOM. A hard link never replaces anything, on any server. Where links
// cannot be made, a look at the name and then a plain rename take its place,
// which OpenSSH refuses if the name is taken. Removing tmp/RANDOM may be
// forbidden: then files are renamed from there on. A server without the
// extension for fsync is trusted to keep what it has confirmed.
//
// A connection that breaks, or on which nothing is heard for a while, is
// replaced, and what was under way is done again or goes on where it stopped.
// What a server confirmed before the cut may be lost if it was restarted, so it
// is read back and compared; and a file whose fsync was cut off is written
// anew, since a failure of that fsync would never be heard of. If the cut came
// while the file was given its name, the file of that name is compared with
// what was to be stored, which tells whether the earlier try won.
package sftp
