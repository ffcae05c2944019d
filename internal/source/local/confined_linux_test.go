package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/source"
)

// TestConfinedRootIsReachedWithoutLinks reads a root behind a link, which is followed but for in a confined folder.
func TestConfinedRootIsReachedWithoutLinks(t *testing.T) {
	dir := build(t, "real/data/file=open", "other/file=open")
	for link, target := range map[string]string{"way": "real", "real/in": "data"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		root     string
		confined []string
		ok       bool
	}{
		{"way/data", nil, true},
		{"way/data", []string{"/"}, true},
		{"way/data", []string{dir + "/other"}, true},
		{"way/data", []string{dir + "/way/data"}, true}, // the link lies above
		{"way/data", []string{dir + "/way"}, false},
		{"way/data", []string{dir}, false},
		{"real/in/file", []string{dir + "/real"}, false},
		{"real/data/file", []string{dir}, true},
		{"way", []string{dir}, true}, // a root that is a link is that link
	} {
		src, err := New(Options{Roots: []string{filepath.Join(dir, tt.root)}, Confined: tt.confined})
		if err != nil {
			t.Fatal(err)
		}
		d, err := src.Root(t.Context())
		if (err == nil) != tt.ok || (err != nil && !errors.Is(err, source.ErrRootMissing)) {
			t.Errorf("%q confined to %q: %v", tt.root, tt.confined, err)
		}
		if err == nil {
			d.Close()
		}
	}
}
