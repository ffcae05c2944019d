package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/vectortest"
)

// What stands in docs/vectors is what this program makes.
func TestVectorsAreUpToDate(t *testing.T) {
	dir, err := vectortest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	all, err := vectors(dir)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for i := range all {
		path := filepath.Join(dir, all[i].Kind, all[i].Name+".txt")
		made[path] = true
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, all[i].Format(headerKeys)) {
			t.Errorf("%s differs: %v", path, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "*", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if !made[path] {
			t.Errorf("%s is made by nothing", path)
		}
	}
}
