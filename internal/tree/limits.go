package tree

import (
	"fmt"
	"math"
	"strings"

	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

// FitXattrs returns those of all attributes of a file that an entry may have together (docs/format.md section 12). The error
// tells how many it may not have, and is nil if all fit.
func FitXattrs(all []Xattr) ([]Xattr, error) {
	count, size := 0, 0
	fits := func(a Xattr) bool {
		n := wire.UvarintLen(uint64(len(a.Name))) + len(a.Name) + wire.UvarintLen(uint64(len(a.Value))) + len(a.Value)
		if count == maxXattrs || size+n > maxXattrBytes {
			return false
		}
		count, size = count+1, size+n
		return true
	}
	for i := range all {
		if fits(all[i]) {
			continue
		}
		kept := append([]Xattr(nil), all[:i]...)
		for _, a := range all[i+1:] {
			if fits(a) {
				kept = append(kept, a)
			}
		}
		return kept, fmt.Errorf("%d extended attributes from %q on are left out: a file may have %d, of %d bytes together",
			len(all)-len(kept), all[i].Name, maxXattrs, maxXattrBytes)
	}
	return all, nil
}

// check returns an error for an entry that no decoder would take back.
func (x *Entry) check() error {
	bad := func(t Time) bool { return t.Nsec > 999_999_999 }
	switch {
	case x.Kind < Regular || x.Kind > BlockDevice:
		return fmt.Errorf("tree: kind %d of %q", x.Kind, x.Name)
	case x.Mode > 0o7777 || len(x.User) > maxOwnerName || len(x.Group) > maxOwnerName:
		return fmt.Errorf("tree: owner of %q", x.Name)
	case bad(x.ModTime) || bad(x.ChangeTime) || (x.Access != nil && bad(*x.Access)):
		return fmt.Errorf("tree: times of %q", x.Name)
	case x.Kind == Symlink && (x.Target == "" || len(x.Target) > MaxPath || strings.IndexByte(x.Target, 0) >= 0):
		return fmt.Errorf("tree: link target of %q", x.Name)
	}
	for i, a := range x.Xattrs {
		if a.Name == "" || strings.IndexByte(a.Name, 0) >= 0 || (i > 0 && x.Xattrs[i-1].Name >= a.Name) {
			return fmt.Errorf("tree: extended attribute %q of %q", a.Name, x.Name)
		}
	}
	if _, err := FitXattrs(x.Xattrs); err != nil {
		return fmt.Errorf("tree: %q: %w", x.Name, err)
	}
	return x.checkParts()
}

// checkParts returns an error unless the parts of a regular file have its size.
func (x *Entry) checkParts() error {
	if x.Kind != Regular {
		return nil
	}
	sum := uint64(0)
	for _, p := range x.Parts {
		if p.Length < 1 || sum > math.MaxInt64 || (!x.Listed && !p.ID.IsZero() && p.Length > pack.MaxChunkSize) {
			return fmt.Errorf("tree: a part of %d bytes of %q", p.Length, x.Name)
		}
		sum += uint64(p.Length)
	}
	if x.Size < 0 || (sum != uint64(x.Size) && (len(x.Parts) > 0 || x.Marks&MarkUnreadable == 0)) {
		return fmt.Errorf("tree: %q has %d bytes, and parts of %d", x.Name, x.Size, sum)
	}
	return nil
}
