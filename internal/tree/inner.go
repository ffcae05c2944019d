package tree

import (
	"math"

	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

const (
	maxLevel    = 16
	maxChildren = 65_536
)

// Child is what an inner page says of a page below it.
type Child struct {
	Path string // directory of its first run
	Name string // of its first entry, empty if the first run begins its directory or is empty

	Page pack.ChunkID
	Refs pack.ChunkID // reference page beside a leaf page; zero above level 1

	Runs, Entries, Files int64
	Size                 int64 // sum of the sizes of regular files in bytes
}

// Inner is an inner page.
type Inner struct {
	Level    int // 1 lists leaf pages
	Children []Child
}

func encodeInner(dst []byte, level int, children []Child) []byte {
	dst = append(dst, pageVersion, typeInner)
	dst = wire.AppendUvarint(dst, uint64(level))
	dst = wire.AppendUvarint(dst, uint64(len(children)))
	last := ""
	for _, c := range children {
		n := sharedPrefix(last, c.Path)
		dst = wire.AppendUvarint(dst, uint64(n))
		dst = wire.AppendBytes(dst, c.Path[n:])
		dst = wire.AppendBytes(dst, c.Name)
		dst = append(dst, c.Page[:]...)
		if level == 1 {
			dst = append(dst, c.Refs[:]...)
		}
		dst = wire.AppendUvarint(dst, uint64(c.Runs))
		dst = wire.AppendUvarint(dst, uint64(c.Entries))
		dst = wire.AppendUvarint(dst, uint64(c.Files))
		dst = wire.AppendUvarint(dst, uint64(c.Size))
		last = c.Path
	}
	return dst
}

// ParseInner reads an inner page.
func ParseInner(page []byte) (*Inner, error) {
	r, err := pageReader(page, typeInner)
	if err != nil {
		return nil, err
	}
	in := &Inner{Level: r.Count(maxLevel)}
	count := r.Count(min(maxChildren, r.Len()/16))
	if in.Level == 0 || count == 0 {
		r.Failf("level %d with %d children", in.Level, count)
	}
	in.Children = make([]Child, 0, count)
	last := Child{}
	for i := range count {
		n := r.Count(len(last.Path))
		c := Child{Path: last.Path[:n] + string(r.Bytes(MaxPath)), Name: string(r.Bytes(MaxName))}
		r.Fill(c.Page[:])
		if in.Level == 1 {
			r.Fill(c.Refs[:])
		}
		for _, dst := range []*int64{&c.Runs, &c.Entries, &c.Files, &c.Size} {
			v := r.Uvarint()
			if v > math.MaxInt64 {
				r.Failf("count %d", v)
			}
			*dst = int64(v)
		}
		if r.Err() != nil {
			break
		}
		if !ValidPath(c.Path) || (c.Name != "" && !ValidName(c.Name)) || c.Page.IsZero() || (i > 0 && !last.before(&c)) {
			r.Failf("child %q behind %q", Join(c.Path, c.Name), Join(last.Path, last.Name))
			break
		}
		if in.Level == 1 && c.Refs.IsZero() != (c.Files == 0) {
			r.Failf("child %q has %d files and references of some or none", Join(c.Path, c.Name), c.Files)
			break
		}
		in.Children = append(in.Children, c)
		last = c
	}
	r.End()
	return in, corrupt(r)
}

// before reports whether c begins before d.
func (c *Child) before(d *Child) bool {
	if o := ComparePaths(c.Path, d.Path); o != 0 {
		return o < 0
	}
	return c.Name < d.Name
}
