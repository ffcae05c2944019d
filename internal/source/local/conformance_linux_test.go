package local_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/repo/sourcetest"
)

func TestConformance(t *testing.T) {
	sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
		root := t.TempDir()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f, p := files[name], filepath.Join(root, name)
			var err error
			switch f.Mode.Type() {
			case fs.ModeDir:
				err = os.Mkdir(p, f.Mode.Perm())
			case fs.ModeSymlink:
				err = os.Symlink(f.Content, p)
			default:
				err = os.WriteFile(p, []byte(f.Content), f.Mode.Perm())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s, err := local.New(local.Options{Roots: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		return sourcetest.Built{Source: s, Top: root}
	})
}
