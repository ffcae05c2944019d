//go:build !unix

package index

import (
	"io"
	"os"
)

// mapFile reads size bytes of f: there is no mapping here.
func mapFile(f *os.File, size int) (data []byte, unmap func(), err error) {
	data = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, int64(size)), data); err != nil {
		return nil, nil, err
	}
	return data, func() {}, nil
}

// lockFile reports true: there are no locks here, and they serve speed alone.
func lockFile(*os.File) bool { return true }

func unlockFile(*os.File) {}

// unlinkOpen reports false: an open file keeps its name here.
func unlinkOpen(string) bool { return false }
