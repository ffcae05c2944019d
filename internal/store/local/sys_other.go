//go:build !unix

package local

import "os"

const (
	openNonblock = 0
	openFolder   = 0
)

// isLinked cannot tell here, so that each read opens the file.
func isLinked(*os.File) bool { return false }

func isNotFolder(err error) bool { return false }
