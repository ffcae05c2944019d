//go:build unix

package sshconn

import (
	"io/fs"
	"os"
	"syscall"
)

// othersMay reports whether others than its owner, who is this user, may read or write a private key. OpenSSH does not use such a key either.
func othersMay(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0
}
