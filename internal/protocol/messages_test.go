package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/tree"
)

var update = flag.Bool("update", false, "write testdata/messages.txt anew")

// codec is a message as bytes: how it is taken apart and put together again.
type codec struct {
	samples [][]byte
	recode  func([]byte) ([]byte, error)
	// check compares what the samples become with what they were made of.
	check func(t *testing.T)
	lists bool // a payload of any number of messages: one that is cut between two is whole
	open  bool // bytes behind the end are passed over
}

// one is the codec of a message that fills its payload.
func one[M any](parse func([]byte) (*M, error), encode func(*M, []byte) []byte, samples ...*M) codec {
	c := codec{recode: func(b []byte) ([]byte, error) {
		m, err := parse(b)
		if err != nil {
			return nil, err
		}
		return encode(m, nil), nil
	}}
	for _, m := range samples {
		c.samples = append(c.samples, encode(m, nil))
	}
	c.check = func(t *testing.T) {
		for i, want := range samples {
			if got, err := parse(c.samples[i]); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("sample %d became %+v, %v, want %+v", i, got, err, want)
			}
		}
	}
	return c
}

// several is the codec of messages of which a payload holds any number. keep copies what is valid only for a while.
func several[M any](parse func([]byte, func(*M) error) error, encode func([]byte, *M) []byte, keep func(*M), samples ...[]M) codec {
	all := func(b []byte) (list []M, err error) {
		err = parse(b, func(m *M) error {
			keep(m)
			list = append(list, *m)
			return nil
		})
		return list, err
	}
	join := func(list []M) (b []byte) {
		for i := range list {
			b = encode(b, &list[i])
		}
		return b
	}
	c := codec{lists: true, recode: func(b []byte) ([]byte, error) {
		list, err := all(b)
		if err != nil {
			return nil, err
		}
		return join(list), nil
	}}
	for _, list := range samples {
		c.samples = append(c.samples, join(list))
	}
	c.check = func(t *testing.T) {
		for i, want := range samples {
			if got, err := all(c.samples[i]); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("sample %d became %+v, %v, want %+v", i, got, err, want)
			}
		}
	}
	return c
}

// params are the cuts of tests.
func params() (files, database chunker.Params) {
	p, err := chunker.RandomPolynomial(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		panic(err)
	}
	return chunker.Files(p), chunker.Database(p)
}

// stats are one entry of each kind, with values at the edges.
func stats() []tree.Stat {
	return []tree.Stat{
		{Name: "a", Kind: tree.Regular, Mode: 0o7777, UID: 1<<32 - 1, GID: 5, Links: 2, Inode: 1<<64 - 1, Device: 1, Size: 1<<63 - 1,
			ModTime: tree.Time{Sec: -1 << 63, Nsec: 999_999_999}, ChangeTime: tree.Time{Sec: 1<<63 - 1, Nsec: 1}},
		{Name: "ab", Kind: tree.Directory, Mode: 0o755, Links: 3, Inode: 1, Device: 1<<64 - 1, ModTime: tree.Time{Sec: 1 << 40}, ChangeTime: tree.Time{Sec: 1 << 41, Nsec: 7}},
		{Name: "ab\xff\n", Kind: tree.Symlink, Mode: 0o777, Links: 1},
		{Name: "c", Kind: tree.CharDevice, Rdev: 1<<64 - 1},
		{Name: "d", Kind: tree.BlockDevice, Rdev: 8},
		{Name: "e", Kind: tree.Fifo},
		{Name: "f", Kind: tree.Socket},
		{Name: "g", Kind: tree.Regular, Size: -1},
	}
}

func entries() (all []tree.Entry) {
	for _, st := range stats() {
		all = append(all, tree.Entry{Stat: st})
	}
	all[1].User, all[1].Group, all[1].Flags = "root", "wheel", 1<<32-1
	all[1].Xattrs = []tree.Xattr{{Name: "user.a", Value: ""}, {Name: "user.b", Value: "\x00\xff"}}
	all[1].Access = &tree.Time{Sec: 5, Nsec: 6}
	all[2].Target = "../where\xfe"
	return all
}

// codecs are all messages by name.
func codecs() map[string]codec {
	files, database := params()
	hello := one(ParseHelloRequest, (*HelloRequest).Append, &HelloRequest{Version: 1}, &HelloRequest{Version: maxVersion})
	hello.open = true
	e := entries()
	bare := tree.Stat{Kind: tree.Regular, Mode: 0o644, Links: 1, Inode: 12, Device: 3, Size: 77, ModTime: tree.Time{Sec: 9}, ChangeTime: tree.Time{Sec: 10, Nsec: 3}}
	full := tree.Entry{Stat: bare, User: "u", Group: "g", Xattrs: []tree.Xattr{{Name: "user.x", Value: "y"}}, Flags: 4, Access: &tree.Time{Sec: -1}}
	return map[string]codec{
		"hello request": hello,
		"hello answer": one(ParseHelloAnswer, (*HelloAnswer).Append, &HelloAnswer{Version: 1, Requests: 1},
			&HelloAnswer{Version: 1, Program: "snap 1", Clock: tree.Time{Sec: 1 << 33, Nsec: 5}, Host: "web1", Machine: "m", Boot: "b", Kernel: "Linux 6", Policy: "/etc/snap/agent.yaml",
				Enforced: []string{"no-new-privs", "landlock"}, Requests: 512, Roots: []string{"/etc", "/srv"}, Devices: []string{"/dev/sda"}, Streams: []StreamInfo{{"crm.sql", "postgresql"}, {"x", ""}}}),
		"begin request": one(ParseBeginRequest, (*BeginRequest).Append, &BeginRequest{Files: files, Database: database},
			&BeginRequest{Roots: []string{"/a", "/b"}, Devices: []string{"/dev/x"}, Options: knownOptions, Excludes: []string{"*.o", ""}, ExcludesFold: []string{"x"},
				ExcludeIfPresent: []string{"CACHE:head"}, LargerThan: 1<<63 - 1, Files: files, Database: database}),
		"begin answer": one(ParseBeginAnswer, (*BeginAnswer).Append, &BeginAnswer{}, &BeginAnswer{Problems: []RootProblem{{"/a", &Error{CodeRoot, "gone"}}, {"/b", &Error{CodeRefused, ""}}}}),
		"list request": one(ParseListRequest, (*ListRequest).Append, &ListRequest{},
			&ListRequest{Dirs: []DirQuestion{{Path: ""}, {Path: "etc/a"}, {Path: "etc/ab", Runs: []KnownRun{{"", 5, tree.Digest{1, 2}}, {"n\xff", 1 << 31, tree.Digest{}}}}, {Path: "var"}}}),
		"list answer": several(ParseDirAnswers, AppendDirAnswer, func(*DirAnswer) {}, nil,
			[]DirAnswer{{Status: DirSame}, {Status: DirPart, Entries: e}, {Status: DirLast, Entries: e[:1], Problems: []DirProblem{{"bad", 0, &Error{CodePermission, "no"}}, {"ab", tree.Socket, &Error{CodeOther, "x"}}}},
				{Status: DirError, Err: &Error{CodeNotExist, "gone"}}, {Status: DirError, Entries: e[6:], Err: &Error{99, "later"}}}),
		"read request": one(ParseReadRequest, (*ReadRequest).Append, &ReadRequest{},
			&ReadRequest{Files: []FileQuestion{{"a/b", 1<<64 - 1, 0, 1, true}, {"a/bc", 5, 1<<63 - 1, MaxReadSize, false}, {"x", 0, 7, 8, true}}}),
		"read answer": several(ParseItems, AppendItem, func(it *Item) { it.Data = slices.Clone(it.Data) }, nil,
			[]Item{{File: 0, Kind: ItemBegin, Entry: full, Err: &Error{CodePermission, "xattrs"}}, {File: 0, Kind: ItemHole, Length: 1 << 40}, {File: 0, Kind: ItemChunk, Length: 3, Data: []byte("abc")},
				{File: 0, Kind: ItemHash, Length: 5, Hash: [32]byte{9, 31: 8}}, {File: 0, Kind: ItemEnd, Entry: tree.Entry{Stat: bare}, Whole: true},
				{File: 1, Kind: ItemBegin, Entry: tree.Entry{Stat: bare}}, {File: 1, Kind: ItemFailed, Err: &Error{CodeReplaced, "another"}}, {File: MaxFiles, Kind: ItemEnd, Entry: tree.Entry{Stat: bare}}}),
		"fetch request": one(ParseFetchRequest, (*FetchRequest).Append, &FetchRequest{Path: "f"},
			&FetchRequest{Path: "dir/f", Inode: 1<<64 - 1, Pieces: []Piece{{100, 5}, {105, 1}, {0, 7}, {1 << 60, 16 << 20}}}),
		"stream start":  one(ParseStreamStartRequest, (*StreamStartRequest).Append, &StreamStartRequest{}, &StreamStartRequest{"crm.sql"}),
		"stream handle": one(ParseStreamHandle, (*StreamHandle).Append, &StreamHandle{}, &StreamHandle{1<<64 - 1}),
		"stream next":   one(ParseStreamNextRequest, (*StreamNextRequest).Append, &StreamNextRequest{1, 0, 1}, &StreamNextRequest{1<<64 - 1, 1<<63 - 1, MaxStreamPiece}),
		"stream piece": one(func(b []byte) (*StreamPiece, error) {
			m, err := ParseStreamPiece(b)
			if err == nil {
				m.Data = append([]byte(nil), m.Data...)
			}
			return m, err
		}, (*StreamPiece).Append, &StreamPiece{End: true}, &StreamPiece{Data: []byte("-- dump")}),
		"hash request": one(ParseHashRequest, (*HashRequest).Append, &HashRequest{}, &HashRequest{Paths: []string{"a", "a/b", "c"}}),
		"hash answer": several(ParseFileHashes, AppendFileHash, func(*FileHash) {}, nil,
			[]FileHash{{Stat: bare, Hash: [32]byte{1, 31: 2}}, {Err: &Error{CodeNotExist, "gone"}}}),
		"inventory answer": one(ParseInventoryAnswer, (*InventoryAnswer).Append, &InventoryAnswer{},
			&InventoryAnswer{Mounts: []Mount{{"/", "ext4", "/dev/sda1"}}, Databases: []Database{{"postgresql", "/run/x"}}}),
		"error": one(ParseError, (*Error).Append, &Error{CodeOther, ""}, &Error{CodeVersion, strings.Repeat("x", maxText)}),
		"empty": one(ParseEmpty, func(_ *Empty, b []byte) []byte { return b }, &Empty{}),
	}
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	for name, c := range codecs() {
		t.Run(name, func(t *testing.T) {
			c.check(t)
			for i, b := range c.samples {
				if got, err := c.recode(b); err != nil || !bytes.Equal(got, b) {
					t.Errorf("sample %d: %x became %x, %v", i, b, got, err)
				}
			}
		})
	}
}

// TestMessagesAreTheRecordedBytes holds the encoding to testdata/messages.txt, which does not change as long as the version
// is 1.
func TestMessagesAreTheRecordedBytes(t *testing.T) {
	var text strings.Builder
	all := codecs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for i, b := range all[name].samples {
			fmt.Fprintf(&text, "%s %d: %s\n", name, i, hex.EncodeToString(b))
		}
	}
	file := filepath.Join("testdata", "messages.txt")
	if *update {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := text.String(), string(want); got != "" || want != ""; {
		var g, w string
		g, got, _ = strings.Cut(got, "\n")
		w, want, _ = strings.Cut(want, "\n")
		if g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
	}
}

func TestMessagesThatAreCutOrLongerAreRefused(t *testing.T) {
	for name, c := range codecs() {
		t.Run(name, func(t *testing.T) {
			for i, b := range c.samples {
				for n := range b {
					got, err := c.recode(b[:n])
					if err == nil && (!c.lists || !bytes.Equal(got, b[:n])) {
						t.Errorf("sample %d: its first %d bytes of %d were taken", i, n, len(b))
					}
					if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
						t.Errorf("sample %d: its first %d bytes: %v is no ErrMalformed", i, n, err)
					}
				}
				// 0xee is no status, no kind and no flag.
				if _, err := c.recode(append(slices.Clone(b), 0xee)); (err == nil) != c.open {
					t.Errorf("sample %d with a byte behind it: %v", i, err)
				}
			}
		})
	}
}
