package agenttest

import (
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
)

// File is what the agent says of an entry.
type File struct {
	Kind   byte   // 0 means Regular
	Mode   uint64 // 0 means 0o644
	Size   int64  // 0 means that of Data
	Inode  uint64 // 0 means one made of the path
	Time   int64  // seconds since 1970 of both times; 0 means 2001
	Data   string // of a regular file, or the target of a link
	Xattrs []byte // the encoded list; nil means none
}

// Entry is a name of a directory.
type Entry struct {
	Name string
	File File
}

// Tree is what the agent shows, by path without a slash at the start. The folders above need not be named.
type Tree map[string]File

// Stat encodes what is known of a file. before is the inode of the entry before it in the same part, 0 for the first one.
func (f File) Stat(before uint64) []byte {
	b := []byte{f.Kind}
	for _, v := range []uint64{f.Mode, 0, 0, 1} {
		b = append(b, Varint(v)...)
	}
	b = Join(b, Signed(int64(f.Inode-before)), Signed(0))
	return Join(b, Signed(f.Time), Varint(0), Signed(0), Varint(0), f.rest())
}

func (f File) rest() []byte {
	switch f.Kind {
	case Regular:
		return Signed(f.Size)
	case Character, Block:
		return Varint(0x103)
	}
	return nil
}

// described encodes the description.
func (f File) described() []byte {
	b := Join(Text("user"), Text("group"))
	if f.Kind == Symlink {
		b = append(b, Text(f.Data)...)
	}
	if f.Xattrs == nil {
		f.Xattrs = Varint(0)
	}
	return Join(b, f.Xattrs, Varint(0), []byte{0})
}

func (f File) filled(path string) File {
	if f.Kind == 0 {
		f.Kind = Regular
	}
	if f.Mode == 0 {
		f.Mode = 0o644
	}
	if f.Size == 0 {
		f.Size = int64(len(f.Data))
	}
	if f.Time == 0 {
		f.Time = 1_000_000_000
	}
	if f.Inode == 0 {
		h := fnv.New32a()
		h.Write([]byte(path))
		f.Inode = uint64(h.Sum32())
	}
	return f
}

// Entries encodes a list of entries as they are given, in any order, with any name.
func Entries(entries ...Entry) []byte {
	b := Varint(uint64(len(entries)))
	last, inode, before := "", uint64(0), int64(0)
	for _, e := range entries {
		f := e.File.filled(e.Name)
		n := 0
		for n < min(len(last), len(e.Name)) && last[n] == e.Name[n] {
			n++
		}
		seconds := f.Time
		f.Time -= before
		b = append(append(append(b, Varint(uint64(n))...), Text(e.Name[n:])...), f.Stat(inode)...)
		if f.Kind != Regular {
			b = append(b, f.described()...)
		}
		last, inode, before = e.Name, f.Inode, seconds
	}
	return b
}

// Listing encodes the answer for a directory.
func Listing(status byte, entries ...Entry) []byte {
	return Join([]byte{status}, Entries(entries...), Varint(0))
}

// look returns the file at a path.
func (t Tree) look(path string) (File, bool) {
	if f, ok := t[path]; ok {
		return f.filled(path), true
	}
	for name := range t {
		if path == "" || strings.HasPrefix(name, path+"/") {
			return File{Kind: Directory, Mode: 0o755}.filled(path), true
		}
	}
	return File{}, false
}

// list returns the entries of a directory.
func (t Tree) list(dir string) (entries []Entry) {
	if dir != "" {
		dir += "/"
	}
	found := map[string]bool{}
	for name := range t {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			first, _, _ := strings.Cut(rest, "/")
			found[first] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		f, _ := t.look(dir + name)
		entries = append(entries, Entry{name, f})
	}
	return entries
}

// Item encodes an item of a file: its number in the question, the kind and what belongs to it.
func Item(number int, kind byte, what ...[]byte) []byte {
	return Join(Varint(uint64(number)), []byte{kind}, Join(what...))
}

// Start is the item that a file begins with.
func Start(number int, f File) []byte {
	f = f.filled("")
	return Item(number, 1, f.Stat(0), f.described(), []byte{0})
}

// Hole is a hole.
func Hole(number int, length uint64) []byte { return Item(number, 2, Varint(length)) }

// Data is a chunk that is sent.
func Data(number int, data string) []byte { return Item(number, 3, Text(data)) }

// HashOf is a chunk of which only the hash is told.
func HashOf(number int, data string) []byte {
	sum := blake3.Sum256([]byte(data))
	return Item(number, 4, Varint(uint64(len(data))), sum[:])
}

// End is the item that a file ends with.
func End(number int, f File, whole byte) []byte {
	return Item(number, 5, f.filled("").Stat(0), []byte{whole})
}

// Refused is the item of a file that cannot be read.
func Refused(number int, code byte, text string) []byte { return Item(number, 6, Error(code, text)) }

// chunkSize is how an honest agent of this package cuts.
const chunkSize = 256 << 10

// Content encodes the honest answer for a file.
func (t Tree) Content(q Ask) []byte {
	f, ok := t.look(q.Path)
	if !ok || f.Kind != Regular {
		return Refused(q.Number, CodeNotExist, "there is no such file")
	}
	b := Start(q.Number, f)
	at, sum := q.From, uint64(0)
	for at < uint64(len(f.Data)) && sum < q.Most {
		chunk := f.Data[at:min(at+chunkSize, uint64(len(f.Data)))]
		if q.Send {
			b = append(b, Data(q.Number, chunk)...)
		} else {
			b = append(b, HashOf(q.Number, chunk)...)
		}
		at, sum = at+uint64(len(chunk)), sum+uint64(len(chunk))
	}
	whole := byte(0)
	if at >= uint64(len(f.Data)) {
		whole = 1
	}
	return append(b, End(q.Number, f, whole)...)
}
