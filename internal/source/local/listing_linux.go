package local

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
)

// listing is what reading one folder needs; listings are pooled.
type listing struct {
	buf   [64 << 10]byte // entries as the kernel writes them
	names []byte         // each followed by a NUL, so that system calls can take them
	keys  []key
	at    inode.Look
}

// key is one entry of a folder. Sorting moves nothing else.
type key struct {
	prefix uint64 // first eight bytes of the name, filled up with zeros
	inode  uint64
	offset int // into names
	length int
	kind   uint8
}

var listings = sync.Pool{New: func() any { return new(listing) }}

// Buffers of larger folders are not kept: 1 MiB of names, 3 MiB of keys.
const maxPooledNames = 1 << 20

func (l *listing) release() {
	if cap(l.names) > maxPooledNames || cap(l.keys) > maxPooledNames/16 {
		l.names, l.keys = nil, nil
	}
	l.names, l.keys = l.names[:0], l.keys[:0]
	listings.Put(l)
}

// read appends all entries of the open folder fd but "." and "..". It ends with errLarge once there are more than most.
func (l *listing) read(fd, most int) error {
	for len(l.keys) <= most {
		n, err := unix.Getdents(fd, l.buf[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return nil
		default:
			l.parse(l.buf[:n])
		}
	}
	return errLarge
}

// parse appends the entries of b:
//
//	inode (8), offset (8), length of the entry (2), type (1), name, NUL, padding
func (l *listing) parse(b []byte) {
	const header = 19
	for len(b) > header {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size <= header || size > len(b) {
			return
		}
		name := b[header:size]
		if n := bytes.IndexByte(name, 0); n >= 0 {
			name = name[:n]
		}
		if s := string(name); s != "." && s != ".." && s != "" {
			l.keys = append(l.keys, key{
				prefix: prefixOf(name),
				inode:  binary.NativeEndian.Uint64(b),
				offset: len(l.names),
				length: len(name),
				kind:   b[18],
			})
			l.names = append(append(l.names, name...), 0)
		}
		b = b[size:]
	}
}

func prefixOf(name []byte) uint64 {
	if len(name) >= 8 {
		return binary.BigEndian.Uint64(name)
	}
	var p [8]byte
	copy(p[:], name)
	return binary.BigEndian.Uint64(p[:])
}

func (l *listing) name(k *key) []byte { return l.names[k.offset : k.offset+k.length] }

// sort orders the entries by name. A name that a change of the folder made
// appear twice is kept once.
func (l *listing) sort() {
	slices.SortFunc(l.keys, func(a, b key) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(l.name(&a), l.name(&b))
	})
	l.keys = slices.CompactFunc(l.keys, func(a, b key) bool {
		return a.prefix == b.prefix && bytes.Equal(l.name(&a), l.name(&b))
	})
}

// keep drops the sorted entries whose names want refuses.
func (l *listing) keep(want func(name string) bool) {
	all := string(l.names)
	l.keys = slices.DeleteFunc(l.keys, func(k key) bool { return !want(all[k.offset : k.offset+k.length]) })
}

// has reports whether name is one of the sorted entries.
func (l *listing) has(name string) bool {
	_, found := slices.BinarySearchFunc(l.keys, name, func(k key, name string) int {
		return strings.Compare(string(l.name(&k)), name)
	})
	return found
}
