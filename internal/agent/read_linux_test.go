package agent

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/zeebo/blake3"
)

// item is what a test needs of a protocol.Item.
type item struct {
	kind   protocol.ItemKind
	length int64
	hash   [32]byte
	data   []byte
	whole  bool
}

// items reads a part of a file.
func (c *client) items(q protocol.FileQuestion) (all []item) {
	c.t.Helper()
	b, err := c.ask(protocol.Read, &protocol.ReadRequest{Files: []protocol.FileQuestion{q}})
	if err == nil {
		err = protocol.ParseItems(b, func(it *protocol.Item) error {
			all = append(all, item{it.Kind, it.Length, it.Hash, bytes.Clone(it.Data), it.Whole})
			return nil
		})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// reader begins a session on a folder with one file.
func reader(t *testing.T, name string, content []byte) (c *client, path string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	c, _ = start(t, &Policy{Roots: []string{dir}})
	c.hello()
	if bad, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	return c, rel(dir, name)
}

func noise(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{8}).Read(b)
	return b
}

// TestFilesAreCutByTheirKind compares the chunks of a file, told in answers of various lengths as data and as hashes, with
// those that the chunker cuts.
func TestFilesAreCutByTheirKind(t *testing.T) {
	data := noise(11 << 20)
	files, database := params(t)
	for name, p := range map[string]chunker.Params{"app.bin": files, "app.sqlite3": database} {
		cutter, err := chunker.New(p)
		if err != nil {
			t.Fatal(err)
		}
		var want []int
		for rest := data; len(rest) > 0; {
			n := cutter.Next(rest[:min(len(rest), p.MaxSize)], len(rest) <= p.MaxSize)
			want = append(want, n)
			rest = rest[n:]
		}
		c, path := reader(t, name, data)
		for _, most := range []int64{1, 3 << 20, protocol.MaxReadSize} {
			for _, send := range []bool{true, false} {
				var got []int
				from, whole := int64(0), false
				for rounds := 0; !whole && rounds < 10_000; rounds++ {
					all := c.items(protocol.FileQuestion{Path: path, From: from, Most: most, Send: send})
					if all[0].kind != protocol.ItemBegin || all[len(all)-1].kind != protocol.ItemEnd {
						t.Fatalf("%s: items %v", name, all)
					}
					told := int64(0)
					for _, it := range all[1 : len(all)-1] {
						if told >= most {
							t.Fatalf("%s: more than %d bytes were told", name, most)
						}
						piece := data[from+told:][:it.length]
						if (send && !bytes.Equal(it.data, piece)) || (!send && it.hash != blake3.Sum256(piece)) {
							t.Fatalf("%s: what was told at %d is not what is there", name, from+told)
						}
						got = append(got, int(it.length))
						told += it.length
					}
					from += told
					whole = all[len(all)-1].whole
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s, %d bytes at most, data %v: chunks %v, want %v", name, most, send, got, want)
				}
			}
		}
		c.fetches(path, data, int64(want[0]), int64(want[1]))
		b, err := c.ask(protocol.Hash, &protocol.HashRequest{Paths: []string{path}})
		if err != nil {
			t.Fatal(err)
		}
		if err := protocol.ParseFileHashes(b, func(h *protocol.FileHash) error {
			if h.Err != nil || h.Hash != blake3.Sum256(data) || h.Stat.Size != int64(len(data)) {
				t.Errorf("%s: %+v", name, h)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// fetches asks for a piece, one that reaches behind the end, and one behind it.
func (c *client) fetches(path string, data []byte, from, length int64) {
	c.t.Helper()
	end := int64(len(data))
	b, err := c.ask(protocol.Fetch, &protocol.FetchRequest{Path: path, Pieces: []protocol.Piece{{Offset: from, Length: length}, {Offset: end - 5, Length: 100}, {Offset: end, Length: 1}}})
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	if err := protocol.ParseItems(b, func(it *protocol.Item) error {
		switch it.Kind {
		case protocol.ItemChunk:
			got = append(got, fmt.Sprint(it.File, len(it.Data), bytes.Equal(it.Data, data[[]int64{from, end - 5}[it.File]:][:len(it.Data)])))
		case protocol.ItemFailed:
			got = append(got, fmt.Sprint(it.File, " code ", it.Err.Code))
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	if want := fmt.Sprintf("[0 %d true 1 5 true 2 code %d]", length, protocol.CodeReplaced); fmt.Sprint(got) != want {
		c.t.Errorf("fetched %v, want %s", got, want)
	}
}

// TestHolesAreTold reads a file with a hole in front and one behind, from each of its regions.
func TestHolesAreTold(t *testing.T) {
	c, path := reader(t, "sparse", nil)
	f, err := os.OpenFile("/"+path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(noise(64<<10), 1<<20)
	}
	if err == nil {
		err = f.Truncate(3 << 20)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[int64]string{
		0: "[1 2:1048576 3:65536 2:2031616 5]", 1 << 20: "[1 3:65536 2:2031616 5]", 1<<20 + 64<<10: "[1 2:2031616 5]", 3 << 20: "[1 5]",
	} {
		var got []string
		for _, it := range c.items(protocol.FileQuestion{Path: path, From: from, Most: protocol.MaxReadSize, Send: true}) {
			s := fmt.Sprint(it.kind)
			if it.length > 0 {
				s += fmt.Sprint(":", it.length)
			}
			got = append(got, s)
		}
		if len(got) == 3 && from == 0 {
			t.Skip("this file system keeps no holes")
		}
		if fmt.Sprint(got) != want {
			t.Errorf("from %d: %v, want %s", from, got, want)
		}
	}
}

func TestAnotherFileInThePlaceIsNotRead(t *testing.T) {
	c, path := reader(t, "file", []byte("content"))
	b, err := c.ask(protocol.Read, &protocol.ReadRequest{Files: []protocol.FileQuestion{{Path: path, Inode: 1, Most: 10, Send: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := protocol.ParseItems(b, func(it *protocol.Item) error {
		if it.Kind != protocol.ItemFailed || it.Err.Code != protocol.CodeReplaced {
			t.Errorf("%+v", it)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ask(protocol.Fetch, &protocol.FetchRequest{Path: path, Inode: 1, Pieces: []protocol.Piece{{Length: 1}}}); codeOf(err) != protocol.CodeReplaced {
		t.Error(err)
	}
}
