//go:build !unix

package sshconn

import "io/fs"

// othersMay reports false: modes tell nothing of who may read a private key here.
func othersMay(fs.FileInfo) bool { return false }
