package restore

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrSameName says that the target takes the name for that of another file of the snapshot, because it knows no difference between upper and lower case.
var ErrSameName = errors.New("the target takes its name for that of another file")

// fold returns what names have in common that differ in case only. Of two such names the one that comes first in order is not its own fold, but for
// letters of which one is ASCII and the other is not.
func fold(name string) string {
	if isFolded(name) {
		return name
	}
	if !utf8.ValidString(name) { // no text: only what is a letter in any case counts
		b := []byte(name)
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				b[i] += 'a' - 'A'
			}
		}
		return string(b)
	}
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return unicode.ToLower(r)
		}
		last := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			last = max(last, next)
		}
		return last
	}, name)
}

// isFolded reports whether a name is its own fold at the first glance.
func isFolded(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// twins finds names of a folder that differ in case only. It serves the walk.
type twins struct {
	names  map[string]string // by fold; those that are their own are left out
	differ bool              // in the target all of them are names of their own
	folds  bool              // they are not
}

// twinsKept is how many names of a folder are kept before somebody looks whether the target tells them apart.
const twinsKept = 4 << 10

// twin returns a name that f has already and the target takes for name; none in most targets.
func (r *run) twin(f *folder, name string) (string, bool) {
	t := &f.twins
	if t.differ || r.DryRun {
		return "", false
	}
	folded := fold(name)
	other, found := t.names[folded]
	if (found || len(t.names) == twinsKept) && !t.folds {
		if t.folds = r.folds(f); !t.folds {
			*t = twins{differ: true}
			return "", false
		}
	}
	if !found && folded != name {
		if t.names == nil {
			t.names = map[string]string{}
		}
		t.names[folded] = strings.Clone(name)
	}
	return other, found
}

// folds reports whether the folder f, which is there, takes names that differ in case only for one.
func (r *run) folds(f *folder) bool {
	dir, err := r.dir(f)
	if err != nil {
		return false // what is to be made in it will tell
	}
	defer dir.Release()
	folds, err := dir.Folds()
	return err == nil && folds
}

func sameName(other string) error { return fmt.Errorf("%w: %q", ErrSameName, other) }
