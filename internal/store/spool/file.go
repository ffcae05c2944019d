package spool

import (
	"errors"
	"os"
)

// tempFile is a file that no name leads to, where the system has such.
type tempFile struct {
	*os.File
	name string // to be removed by Close; empty if that is done
}

func newTempFile(dir string) (*tempFile, error) {
	f, err := os.CreateTemp(dir, "snap-spool-*")
	if err != nil {
		return nil, err
	}
	t := &tempFile{File: f, name: f.Name()}
	if os.Remove(t.name) == nil {
		t.name = ""
	}
	return t, nil
}

func (t *tempFile) Close() error {
	err := t.File.Close()
	if t.name != "" {
		err = errors.Join(err, os.Remove(t.name))
	}
	return err
}
