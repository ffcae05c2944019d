package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/store/local"
	"github.com/snapkeep/snap/repo/storetest"
)

// places are kinds of file systems that machines for tests have.
var places = []struct {
	name string
	dir  func(t *testing.T) string
	opts local.Options
}{
	{"Default", func(t *testing.T) string { return t.TempDir() }, local.Options{}},
	{"NamedTemp", func(t *testing.T) string { return t.TempDir() }, local.Options{NamedTemp: true}},
	{"SharedMemory", sharedMemory, local.Options{}},
}

// sharedMemory returns a folder in memory, on systems that have one.
func sharedMemory(t *testing.T) string {
	const memory = "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		t.Skip("no folder in memory here")
	}
	dir, err := os.MkdirTemp(memory, "snap-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			t.Parallel()
			storetest.Test(t, func(t *testing.T) storetest.Store {
				s, err := local.Create(filepath.Join(place.dir(t), "new", "store"), place.opts)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
			t.Run("Reopen", func(t *testing.T) {
				storetest.TestReopen(t, func(t *testing.T) func() (storetest.Store, error) {
					dir := place.dir(t)
					return func() (storetest.Store, error) { return local.Open(dir, place.opts) }
				})
			})
		})
	}
}
