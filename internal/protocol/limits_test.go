package protocol

import (
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

func uv(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = wire.AppendUvarint(b, v)
	}
	return b
}

// repeat returns a count and so many copies of an item.
func repeat(n int, item []byte) []byte {
	b := uv(nil, uint64(n))
	for range n {
		b = append(b, item...)
	}
	return b
}

// TestWhatIsOverALimitIsRefused sends one value over each limit. The value at the limit passes, so that it is the limit that
// is tested.
func TestWhatIsOverALimitIsRefused(t *testing.T) {
	all := codecs()
	long := func(n int) []byte { return wire.AppendBytes(nil, strings.Repeat("x", n)) }
	file := func(most uint64) []byte { return append(uv(append(uv(nil, 1, 0), append(long(1), 0)...), 0, most), 1) }
	files := func(n int) []byte {
		m := ReadRequest{Files: make([]FileQuestion, n)}
		for i := range m.Files {
			m.Files[i] = FileQuestion{Path: "x", Most: 1}
		}
		return m.Append(nil)
	}
	link := func(target int) []byte {
		x := tree.Entry{Stat: tree.Stat{Name: "l", Kind: tree.Symlink}, Target: strings.Repeat("t", target)}
		return AppendDirAnswer(nil, &DirAnswer{Status: DirLast, Entries: []tree.Entry{x}})
	}
	attr := func(n, count int) []byte {
		x := tree.Entry{Stat: tree.Stat{Name: "d", Kind: tree.Directory}}
		for i := range count {
			x.Xattrs = append(x.Xattrs, tree.Xattr{Name: string(rune(0x4e00 + i)), Value: strings.Repeat("v", n)})
		}
		return AppendDirAnswer(nil, &DirAnswer{Status: DirLast, Entries: []tree.Entry{x}})
	}
	named := func(n int) []byte {
		return AppendDirAnswer(nil, &DirAnswer{Status: DirLast, Entries: []tree.Entry{{Stat: tree.Stat{Name: strings.Repeat("n", n), Kind: tree.Fifo}}}})
	}
	stat := func(change func(*tree.Stat)) []byte {
		h := FileHash{Stat: tree.Stat{Kind: tree.Regular}}
		change(&h.Stat)
		return AppendFileHash(nil, &h)
	}
	for _, tt := range []struct {
		what, codec string
		at, over    []byte
	}{
		{"version", "hello request", uv([]byte(magic), maxVersion), uv([]byte(magic), maxVersion+1)},
		{"version 0", "hello request", uv([]byte(magic), 1), uv([]byte(magic), 0)},
		{"magic", "hello request", []byte("snapagent\x01"), []byte("snapagenT\x01")},
		{"text", "error", append([]byte{1}, long(maxText)...), append([]byte{1}, long(maxText+1)...)},
		{"name of a stream", "stream start", long(maxWord), long(maxWord + 1)},
		{"directories", "list request", repeat(MaxDirs, []byte{0, 0, 0}), repeat(MaxDirs+1, []byte{0, 0, 0})},
		{"files", "read request", files(MaxFiles), files(MaxFiles + 1)},
		{"bytes of a file", "read request", file(MaxReadSize), file(MaxReadSize + 1)},
		{"no bytes of a file", "read request", file(1), file(0)},
		{"bytes of pieces", "fetch request", uv(append([]byte{0}, long(1)...), 0, 4, 0, 16<<20, 0, 16<<20, 0, 16<<20, 0, 16<<20), uv(append([]byte{0}, long(1)...), 0, 5, 0, 16<<20, 0, 16<<20, 0, 16<<20, 0, 16<<20, 0, 1)},
		{"a piece before the file", "fetch request", uv(append([]byte{0}, long(1)...), 0, 1, 0, 1), uv(append([]byte{0}, long(1)...), 0, 1, 1, 1)},
		{"bytes of a stream", "stream next", uv(nil, 1, 0, MaxStreamPiece), uv(nil, 1, 0, MaxStreamPiece+1)},
		{"no bytes of a stream", "stream next", uv(nil, 1, 0, 1), uv(nil, 1, 0, 0)},
		{"an offset", "stream next", uv(nil, 1, 1<<63-1, 1), uv(nil, 1, 1<<63, 1)},
		{"a link's target", "list answer", link(maxTarget), link(maxTarget + 1)},
		{"an attribute", "list answer", attr(maxXattrLen, 1), attr(maxXattrLen+1, 1)},
		{"attributes", "list answer", attr(0, maxXattrs), attr(0, maxXattrs+1)},
		{"a name", "list answer", named(tree.MaxName), named(tree.MaxName + 1)},
		{"a status", "list answer", []byte{byte(DirSame)}, []byte{byte(DirError) + 1}},
		{"a chunk", "read answer", append([]byte{0, byte(ItemHash)}, append(uv(nil, pack.MaxChunkSize), make([]byte, 32)...)...), append([]byte{0, byte(ItemHash)}, append(uv(nil, pack.MaxChunkSize+1), make([]byte, 32)...)...)},
		{"an empty chunk", "read answer", []byte{0, byte(ItemChunk), 1, 7}, []byte{0, byte(ItemChunk), 0}},
		{"an empty hole", "read answer", []byte{0, byte(ItemHole), 1}, []byte{0, byte(ItemHole), 0}},
		{"kind of item", "read answer", []byte{0, byte(ItemFailed), 1, 0}, []byte{0, 7, 1, 0}},
		{"mode", "hash answer", stat(func(s *tree.Stat) { s.Mode = 0o7777 }), stat(func(s *tree.Stat) { s.Mode = 0o10000 })},
		{"kind", "hash answer", stat(func(s *tree.Stat) { s.Kind = tree.Socket }), stat(func(s *tree.Stat) { s.Kind = 0 })},
		{"size", "hash answer", stat(func(s *tree.Stat) { s.Size = -1 }), stat(func(s *tree.Stat) { s.Size = -2 })},
		{"nanoseconds", "hash answer", stat(func(s *tree.Stat) { s.ModTime.Nsec = 999_999_999 }), stat(func(s *tree.Stat) { s.ModTime.Nsec = 1e9 })},
		{"a path of nothing", "hash request", append(uv(nil, 1, 0), long(1)...), uv(nil, 1, 0, 0)},
		{"a path that leads up", "hash request", append(uv(nil, 1, 0), wire.AppendBytes(nil, "a/b")...), append(uv(nil, 1, 0), wire.AppendBytes(nil, "a/..")...)},
		{"an absolute path", "list request", append(append(uv(nil, 1, 0), wire.AppendBytes(nil, "a/b")...), 0), append(append(uv(nil, 1, 0), wire.AppendBytes(nil, "/a")...), 0)},
		{"too little shared", "hash request", append(append(append(uv(nil, 2, 0), wire.AppendBytes(nil, "ab")...), 1), wire.AppendBytes(nil, "c")...), append(append(append(uv(nil, 2, 0), wire.AppendBytes(nil, "ab")...), 0), wire.AppendBytes(nil, "ac")...)},
		{"too much shared", "hash request", append(append(append(uv(nil, 2, 0), wire.AppendBytes(nil, "ab")...), 2), wire.AppendBytes(nil, "c")...), append(append(append(uv(nil, 2, 0), wire.AppendBytes(nil, "ab")...), 3), wire.AppendBytes(nil, "c")...)},
	} {
		if _, err := all[tt.codec].recode(tt.at); err != nil {
			t.Errorf("%s at the limit: %v", tt.what, err)
		}
		if _, err := all[tt.codec].recode(tt.over); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s over the limit: %v", tt.what, err)
		}
	}
}

func TestBeginWithOtherOptionsOrCutsIsRefused(t *testing.T) {
	files, database := params()
	for what, m := range map[string]*BeginRequest{
		"an unknown option": {Options: knownOptions + 1, Files: files, Database: database},
		"no cuts":           {},
	} {
		if _, err := ParseBeginRequest(m.Append(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	bad := files
	bad.MaxSize = 1 << 30
	if _, err := ParseBeginRequest((&BeginRequest{Files: bad, Database: database}).Append(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("chunks of a GiB: %v", err)
	}
	bad = files
	bad.Polynomial = 12
	if _, err := ParseBeginRequest((&BeginRequest{Files: bad, Database: database}).Append(nil)); err == nil || strings.Contains(err.Error(), "12") {
		t.Errorf("a bad polynomial: %v", err)
	}
}

// TestCountsTakeNoMemory claims the most of everything in a few bytes.
func TestCountsTakeNoMemory(t *testing.T) {
	for name, c := range codecs() {
		for _, front := range [][]byte{nil, {0}, {1}, {2}, {3}, {0, 0}, {1, 1}, {0, 3}, {1, 1, 0}} {
			b := uv(front, 1<<16-1, 1<<31, 1<<31, 1<<31)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c.recode(b)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
				t.Errorf("%s: %d bytes were taken for the %d bytes %x", name, n, len(b), b)
			}
		}
	}
}

func TestErrorsStandForThoseOfTheSystem(t *testing.T) {
	for _, want := range []error{fs.ErrNotExist, fs.ErrPermission, source.ErrReplaced, source.ErrStream, source.ErrRootMissing} {
		e, err := ParseError(ErrorOf(want).Append(nil))
		if err != nil || !errors.Is(e, want) || !strings.Contains(e.Error(), want.Error()) {
			t.Errorf("%v came as %v, %v", want, e, err)
		}
	}
	if e := (&Error{Code: 200, Text: "new"}); errors.Unwrap(e) != nil || e.Error() != "agent: new" {
		t.Errorf("an unknown code: %v", e)
	}
	if e := (&Error{Code: CodeOther, Text: "a\xff"}); !utf8.ValidString(e.Error()) {
		t.Errorf("%q is no text", e.Error())
	}
}

func TestLongErrorsAreCutBetweenCharacters(t *testing.T) {
	for n := range 5 {
		e, err := ParseError(ErrorOf(errors.New(strings.Repeat("x", n) + strings.Repeat("€", maxText))).Append(nil))
		if err != nil || len(e.Text) > maxText || len(e.Text) < maxText-3 || !utf8.ValidString(e.Text) {
			t.Errorf("%d: %d bytes, %v, %q", n, len(e.Text), err, e.Text[len(e.Text)-4:])
		}
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct{ oldest, newest, server, want int }{
		{1, 1, 1, 1}, {1, 1, 7, 1}, {1, 3, 2, 2}, {2, 3, 3, 3}, {2, 3, maxVersion, 3}, {2, 3, 1, 0},
	} {
		got, err := agree(tt.oldest, tt.newest, tt.server)
		if got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("an agent of %d to %d and a server of %d agree on %d, %v, want %d", tt.oldest, tt.newest, tt.server, got, err, tt.want)
		}
		if err != nil && (!errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "versions 2 to 3")) {
			t.Errorf("refusal: %v", err)
		}
	}
	// What follows a newer version is of another layout.
	if _, err := ParseHelloAnswer([]byte{Version + 1, 0xff, 0xff}); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer version: %v", err)
	}
	// A newer server may say more in its hello.
	m, err := ParseHelloRequest(append((&HelloRequest{Version: 9}).Append(nil), "more"...))
	if err != nil || m.Version != 9 {
		t.Errorf("the hello of a newer server: %+v, %v", m, err)
	}
}
