package goldentest

import (
	"archive/tar"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Golden is a repository that is kept for ever.
type Golden struct {
	Facts
	Dir      string   `json:"-"` // where the store was unpacked
	Manifest []string `json:"-"` // lines of the verifier
}

// Facts are the keys of a golden repository and what is in it besides files.
type Facts struct {
	Passphrase string   `json:"passphrase"` // of a full slot
	Identity   string   `json:"identity"`   // age, of a full slot
	Writer     string   `json:"writer"`     // age, of a writer's slot
	Snapshots  []string `json:"snapshots"`  // oldest first
	Trashed    string   `json:"trashed"`    // snapshot in the trash
	Tagged     string   `json:"tagged"`     // snapshot with the tags "golden" and "kept"
	Pinned     string   `json:"pinned"`     // snapshot with a pin
}

// Load unpacks the golden repository of a name into a folder of the test.
func Load(t testing.TB, name string) *Golden {
	t.Helper()
	g := &Golden{Dir: filepath.Join(t.TempDir(), "repository")}
	read := func(suffix string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name+suffix))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := json.Unmarshal(read(".json"), &g.Facts); err != nil {
		t.Fatal(err)
	}
	g.Manifest = strings.Split(strings.TrimSuffix(string(read(".manifest")), "\n"), "\n")
	f, err := os.Open(filepath.Join("testdata", name+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unpack(tar.NewReader(f), g.Dir); err != nil {
		t.Fatal(err)
	}
	return g
}

func unpack(r *tar.Reader, dir string) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
}
