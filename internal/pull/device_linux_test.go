package pull_test

import (
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/repo"
)

const imageSize = 80 << 20

// image makes a disk image: some data, far apart.
func image(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 2<<20)
	for _, at := range []int64{0, 40 << 20, imageSize - int64(len(data))} {
		_, _ = rng.Read(data) // never fails
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func poke(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("changed"), at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func digest(t *testing.T, data string) [32]byte {
	t.Helper()
	return sha256.Sum256([]byte(data))
}

// TestDevices pulls a disk image, and the same behind a block device.
func TestDevices(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"image file", "block device"} {
		t.Run(kind, func(t *testing.T) {
			name := image(t)
			device := name
			if kind == "block device" {
				device = loop(t, name)
			}
			s := newSite(t, "roots: [ROOT]\ndevices: ["+device+"]\n")
			r := vault(t, repo.CreateOptions{})
			c := s.source(t, "paths: [ROOT]\ndevices: ["+device+"]")
			res := one(t, r, c)
			if res.Err != nil || res.Partial {
				t.Fatalf("%+v", res)
			}
			same := func(res *repo.Snapshot) {
				t.Helper()
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if got := content(t, r, res, strings.TrimPrefix(device, "/")); digest(t, got) != sha256.Sum256(want) {
					t.Errorf("%d bytes that are not those of the image", len(got))
				}
			}
			same(res.Snapshot)
			if res.In > 10<<20 || res.Summary.DataAdded > 10<<20 {
				t.Errorf("6 MiB in an image of 80: %d bytes came, %d bytes are new", res.In, res.Summary.DataAdded)
			}
			again := one(t, r, c)
			if again.Err != nil || again.In > 64<<10 || again.Summary.DataChunks != 0 {
				t.Errorf("unchanged: %d bytes came, %+v, %v", again.In, again.Summary, again.Err)
			}
			poke(t, device, 41<<20)
			changed := one(t, r, c)
			if changed.Err != nil || changed.In > 5<<20 || changed.Summary.DataChunks == 0 {
				t.Errorf("changed: %d bytes came, %+v, %v", changed.In, changed.Summary, changed.Err)
			}
			same(changed.Snapshot)
			holes(t, r, changed.Snapshot, strings.TrimPrefix(device, "/"))
		})
	}
}

// holes restores an image and looks at how much space it takes.
func holes(t *testing.T, r *repo.Repo, s *repo.Snapshot, path string) {
	t.Helper()
	dir := t.TempDir()
	if _, err := r.Restore(t.Context(), s, repo.RestoreOptions{Target: dir, Path: path}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("du", "-k", filepath.Join(dir, filepath.Base(path))).Output()
	if err != nil {
		t.Fatal(err)
	}
	if used, err := strconv.Atoi(strings.Fields(string(out))[0]); err != nil || used > 10<<10 {
		t.Errorf("restored, an image with 6 MiB of data takes %d KiB, %v", used, err)
	}
}

// loop returns a block device with the content of a file.
func loop(t *testing.T, name string) string {
	t.Helper()
	device, detach := looptest.Attach(t, name, false)
	t.Cleanup(detach)
	return device
}
