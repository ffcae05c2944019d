package target

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

func TestIsTemporary(t *testing.T) {
	for name, want := range map[string]bool{
		tempPrefix + "0123456789abcdef": true, tempPrefix + "0123456789abcde": false, tempPrefix + "0123456789ABCDEF": false,
		tempPrefix + "0123456789abcdeg": false, tempPrefix + "0123456789abcdef0": false, tempPrefix: false, "": false,
		"x" + tempPrefix + "0123456789abcdef": false,
	} {
		if got := IsTemporary(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
	made, err := withTempName(func(string) error { return nil })
	if err != nil || !IsTemporary(made) {
		t.Errorf("%q is not known as temporary, %v", made, err)
	}
}

func TestLeftoversOfTheKilledAreRemoved(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	if err := os.WriteFile(path+"/old", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := func(name string, x Existing) *File {
		f, err := d.Create(regular(name, "new"), x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("new"), 0); err != nil {
			t.Fatal(err)
		}
		return f
	}
	killed, alive := begin("old", Replace), begin("fresh", Whole)
	if err := inode.Close(killed.s.fd); err != nil { // as the kernel does for a process that was killed
		t.Fatal(err)
	}
	const link, folder = tempPrefix + "00000000000000aa", tempPrefix + "00000000000000bb"
	if err := errors.Join(os.Symlink("old", path+"/"+link), os.Mkdir(path+"/"+folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	names, err := d.Leftovers()
	if err != nil || len(names) != 4 {
		t.Fatalf("%q, %v", names, err)
	}
	for _, name := range names {
		removed, err := d.RemoveLeftover(name)
		if want := name == killed.temp || name == link; removed != want || err != nil {
			t.Errorf("%s: removed %v, want %v; %v", name, removed, want, err)
		}
	}
	if removed, err := d.RemoveLeftover(killed.temp); removed || err != nil {
		t.Errorf("what is gone: %v, %v", removed, err)
	}
	if _, err := d.RemoveLeftover("old"); !errors.Is(err, ErrName) {
		t.Errorf("another name: %v", err)
	}
	if _, err := alive.Finish(regular("fresh", "new")); err != nil {
		t.Error(err)
	}
	names, err = d.Names()
	if err != nil || strings.Join(names, " ") != folder+" fresh old" || mustRead(t, path+"/old") != "old" {
		t.Errorf("%q, %v", names, err)
	}
}

// A leftover that somebody removes while it is none is made once more.
func TestWhatIsTakenForALeftoverIsMadeAgain(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	if err := errors.Join(os.WriteFile(path+"/file", nil, 0o600), os.WriteFile(path+"/link", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	taken := 0
	err = whileTaken(func() error {
		made, err := d.place("link", Replace, func(name string) error { return os.Symlink("file", path+"/"+name) })
		if errors.Is(err, os.ErrExist) {
			made, err = withTempName(func(name string) error { return os.Symlink("file", path+"/"+name) })
		}
		if err != nil {
			return err
		}
		if taken++; taken == 1 {
			if removed, err := d.RemoveLeftover(made); !removed || err != nil {
				t.Errorf("%v, %v", removed, err)
			}
		}
		return d.rename(made, "link")
	})
	if to, readErr := os.Readlink(path + "/link"); err != nil || readErr != nil || to != "file" || taken != 2 {
		t.Errorf("%q after %d, %v, %v", to, taken, err, readErr)
	}
	e := regular("link", "")
	e.Kind, e.Target = tree.Symlink, "elsewhere"
	if _, err := d.MakeSpecial(e, Replace); err != nil {
		t.Error(err)
	}
}
