package agent_test

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/repo"
)

// attack is what an agent does, and what has to become of it: an error of the pull that says what was broken, a problem of an entry,
// or neither, if there is nothing wrong with it in the end.
type attack struct {
	name    string
	liar    *agenttest.Agent // its Tree is honestTree, if it has none
	err     error
	says    string // in the error
	problem string
	o       agent.Options
	before  agenttest.Tree // an honest pull of this comes first
	stream  string         // a stream that is a part of the snapshot
	gone    bool           // data/victim is not in the snapshot, or without content
	bare    bool           // nothing is in the snapshot
	waits   bool           // for what never comes: time is that of a bubble
	check   func(t *testing.T, r *repo.Repo, got map[string]*repo.Entry)
}

// noise returns text that does not repeat.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	for i := range b {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		b[i] = byte(seed)
	}
	return string(b)
}

func honestTree() agenttest.Tree {
	return agenttest.Tree{
		"data/good":      {Data: "good"},
		"data/dir/inner": {Data: "inner"},
		"data/link":      {Kind: agenttest.Symlink, Data: "good"},
		"data/victim":    {Data: "victim"},
	}
}

// with returns the honest tree with one more file, or another one.
func with(path string, f agenttest.File) agenttest.Tree {
	t := honestTree()
	t[path] = f
	return t
}

// frame answers the n-th question of a kind with bytes.
func frame(kind byte, bytes func(q *agenttest.Question) []byte) func(*agenttest.Question, io.Writer) (bool, error) {
	return func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind != kind {
			return false, nil
		}
		b := bytes(q)
		if b == nil {
			return true, nil
		}
		_, err := w.Write(b)
		return true, err
	}
}

// payload answers questions of a kind with a payload.
func payload(kind byte, p ...[]byte) *agenttest.Agent {
	return &agenttest.Agent{Answer: frame(kind, func(q *agenttest.Question) []byte {
		return agenttest.Frame(q.ID, kind|agenttest.Answer, 0, agenttest.Join(p...))
	})}
}

// raw answers questions of a kind with bytes.
func raw(kind byte, b ...byte) *agenttest.Agent {
	return &agenttest.Agent{Answer: frame(kind, func(*agenttest.Question) []byte { return b })}
}

// endless answers a question of a kind with frames of which more are to come, for ever.
func endless(kind byte, p func(i int) []byte) *agenttest.Agent {
	return &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind != kind {
			return false, nil
		}
		for i := 0; ; i++ {
			if _, err := w.Write(agenttest.Frame(q.ID, kind|agenttest.Answer, agenttest.More, p(i))); err != nil {
				return true, err
			}
		}
	}}
}

// listed has /data answered with bytes.
func listed(b ...[]byte) *agenttest.Agent {
	return &agenttest.Agent{Dirs: map[string]func(agenttest.Dir) []byte{"data": func(agenttest.Dir) []byte { return agenttest.Join(b...) }}}
}

// named lists these names in /data.
func named(names ...string) *agenttest.Agent {
	var entries []agenttest.Entry
	for _, name := range names {
		entries = append(entries, agenttest.Entry{Name: name, File: agenttest.File{Data: "data"}})
	}
	return listed(agenttest.Listing(agenttest.Last, entries...))
}

// victim has the file data/victim answered with items.
func victim(items func(q agenttest.Ask) []byte) *agenttest.Agent {
	return &agenttest.Agent{Files: map[string]func(agenttest.Ask) []byte{"data/victim": items}}
}

var (
	small = agenttest.File{Data: "victim", Inode: 77}
	sized = func(n int64) agenttest.File { return agenttest.File{Size: n, Inode: 77} }
)

// started answers for data/victim with a beginning, a middle and an end.
func started(f agenttest.File, middle ...func(q agenttest.Ask) []byte) *agenttest.Agent {
	return victim(func(q agenttest.Ask) []byte {
		b := agenttest.Start(q.Number, f)
		for _, m := range middle {
			b = append(b, m(q)...)
		}
		return append(b, agenttest.End(q.Number, f, 1)...)
	})
}

func data(s string) func(agenttest.Ask) []byte {
	return func(q agenttest.Ask) []byte { return agenttest.Data(q.Number, s) }
}

func hashed(s string) func(agenttest.Ask) []byte {
	return func(q agenttest.Ask) []byte { return agenttest.HashOf(q.Number, s) }
}

// large is a tree whose victim is a large file, and what it was before.
func large(seed uint64) agenttest.Tree {
	return with("data/victim", agenttest.File{Data: noise(seed, 3<<20), Inode: 78, Time: int64(seed)})
}

// xattrs encodes attributes, as many as are said, of so many bytes each.
func xattrs(count uint64, n, size int) []byte {
	b := agenttest.Varint(count)
	for i := range n {
		b = agenttest.Join(b, agenttest.Text(fmt.Sprintf("user.%04d", i)), agenttest.Text(strings.Repeat("v", size)))
	}
	return b
}

// packed is a compressed frame that claims a size and holds a number of zeros.
func packed(q *agenttest.Question, claim uint32, zeros int) []byte {
	c, err := compress.NewCompressor(compress.Fastest)
	if err != nil {
		panic(err)
	}
	b, _ := c.Append(agenttest.U32(claim), agenttest.Pad(zeros))
	return agenttest.Frame(q.ID, q.Kind|agenttest.Answer, agenttest.Compressed, b)
}

// turn answers every list question with directories that have the same directories in them, for ever.
func turn(names ...string) *agenttest.Agent {
	var entries []agenttest.Entry
	for _, name := range names {
		entries = append(entries, agenttest.Entry{Name: name, File: agenttest.File{Kind: agenttest.Directory}})
	}
	a := &agenttest.Agent{}
	a.Answer = func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind != agenttest.List {
			return false, nil
		}
		var b []byte
		for _, d := range q.Dirs {
			if d.Path == "" {
				b = append(b, agenttest.Listing(agenttest.Last, agenttest.Entry{Name: "data", File: agenttest.File{Kind: agenttest.Directory}})...)
				continue
			}
			b = append(b, agenttest.Listing(agenttest.Last, entries...)...)
		}
		_, err := w.Write(agenttest.Frame(q.ID, q.Kind|agenttest.Answer, 0, b))
		return true, err
	}
	return a
}

// flood lists a directory in parts for ever.
func flood(entry func(i int) agenttest.Entry) *agenttest.Agent {
	return &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind != agenttest.List || q.Dirs[0].Path != "data" {
			return false, nil
		}
		for i := 0; ; {
			var entries []agenttest.Entry
			for range 500 {
				entries = append(entries, entry(i))
				i++
			}
			if _, err := w.Write(agenttest.Frame(q.ID, q.Kind|agenttest.Answer, agenttest.More, agenttest.Listing(agenttest.Part, entries...))); err != nil {
				return true, err
			}
		}
	}}
}

func streamed(pieces func(q *agenttest.Question) []byte) *agenttest.Agent {
	return &agenttest.Agent{Streams: map[string]string{"dump.sql": "text"}, Answer: frame(agenttest.StreamNext, pieces)}
}

const idle = 300 * time.Millisecond

// attacks are all attacks but those in time.
func attacks() []attack {
	waiting := silence()
	for i := range waiting {
		waiting[i].waits = true
	}
	return slices.Concat(namesAndLists(), filesAndHashes(), framesAndOrder(), waiting, words())
}

func namesAndLists() []attack {
	broken := agent.ErrProtocol
	last, part := byte(agenttest.Last), byte(agenttest.Part)
	good := agenttest.Entry{Name: "good", File: agenttest.File{Data: "good"}}
	dirWith := func(x []byte) *agenttest.Agent {
		return listed(agenttest.Listing(last, agenttest.Entry{Name: "dir", File: agenttest.File{Kind: agenttest.Directory, Xattrs: x}}))
	}
	link := func(target string) *agenttest.Agent {
		return listed(agenttest.Listing(last, agenttest.Entry{Name: "link", File: agenttest.File{Kind: agenttest.Symlink, Data: target}}))
	}
	return []attack{
		{name: "a slash in a name", liar: named("a/b"), err: broken, says: `"a/b" is no name`},
		{name: "an absolute path as name", liar: named("/etc/passwd"), err: broken, says: "is no name"},
		{name: "a way up as name", liar: named("../../etc/cron.d/x"), err: broken, says: "is no name"},
		{name: "two dots", liar: named(".."), err: broken, says: `".." is no name`},
		{name: "one dot", liar: named("."), err: broken, says: `"." is no name`},
		{name: "an empty name", liar: named(""), err: broken, says: `"" is no name`},
		{name: "a NUL in a name", liar: named("a\x00b"), err: broken, says: `a\x00b`},
		{name: "a name of 64 KiB", liar: named(strings.Repeat("n", 64<<10)), err: broken, says: "list: corrupt encoding"},
		{name: "a name of 4 KiB", liar: &agenttest.Agent{Tree: with("data/"+strings.Repeat("n", 4096), agenttest.File{Data: "x"})}, check: has("data/" + strings.Repeat("n", 4096))},
		{name: "control bytes in a name", liar: &agenttest.Agent{Tree: with("data/\x1b[2J\r\n", agenttest.File{Data: "x"})}, check: has("data/\x1b[2J\r\n")},
		{name: "a name twice", liar: named("good", "good"), err: broken, says: `"good" stands behind "good"`},
		{name: "a name as file and folder", liar: listed(agenttest.Listing(last, good, agenttest.Entry{Name: "good", File: agenttest.File{Kind: agenttest.Directory}})), err: broken, says: "stands behind"},
		{name: "names out of order", liar: named("good", "a"), err: broken, says: `"a" stands behind "good"`},
		{name: "a name again in the next part", liar: listed(agenttest.Listing(part, good), agenttest.Listing(last, good)), err: broken, says: "stands behind"},
		{name: "a shared beginning that is longer than the name", liar: listed([]byte{last}, agenttest.Varint(1), agenttest.Varint(9), agenttest.Text("x")), err: broken, says: "list: corrupt encoding"},
		{name: "a kind that is none", liar: listed(agenttest.Listing(last, agenttest.Entry{Name: "x", File: agenttest.File{Kind: 99}})), err: broken, says: "kind 99"},
		{name: "a mode beyond all", liar: listed(agenttest.Listing(last, agenttest.Entry{Name: "x", File: agenttest.File{Mode: 0o170000}})), err: broken, says: "list: corrupt encoding"},
		{name: "a negative size", liar: listed(agenttest.Listing(last, agenttest.Entry{Name: "x", File: agenttest.File{Size: -2}})), err: broken, says: "size -2"},
		{name: "a size of 2^62", liar: &agenttest.Agent{Tree: with("data/victim", agenttest.File{Size: 1 << 62}), Files: map[string]func(agenttest.Ask) []byte{
			"data/victim": func(q agenttest.Ask) []byte {
				return agenttest.Join(agenttest.Start(q.Number, sized(1<<62)), agenttest.End(q.Number, sized(1<<62), 1))
			}}}, problem: "changed while it was read"},
		{name: "a count of entries that lies", liar: listed([]byte{last}, agenttest.Varint(1<<40)), err: broken, says: "list: corrupt encoding"},
		{name: "a count of problems that lies", liar: listed([]byte{last}, agenttest.Entries(good), agenttest.Varint(1<<40)), err: broken, says: "list: corrupt encoding"},
		{name: "a problem of what is no name", liar: listed([]byte{last}, agenttest.Entries(good), agenttest.Varint(1), agenttest.Text("../x"), []byte{1}, agenttest.Error(1, "x")), err: broken, says: `a problem of "../x"`},
		{name: "a problem in colour, of 1 KiB", liar: listed([]byte{last}, agenttest.Entries(good), agenttest.Varint(1), agenttest.Text("zzz"), []byte{1}, agenttest.Error(1, "\x1b[31m"+strings.Repeat("!", 1000))),
			problem: `zzz`},
		{name: "an error of 1 MiB", liar: listed([]byte{agenttest.Broke}, agenttest.Varint(0), agenttest.Varint(0), agenttest.Error(1, strings.Repeat("!", 1<<20))), err: broken, says: "list: corrupt encoding"},
		{name: "a status that is none", liar: listed([]byte{9}), err: broken, says: "directory status 9"},
		{name: "a part without entries", liar: listed([]byte{part}, agenttest.Varint(0), agenttest.Varint(0)), err: broken, says: "a part without entries"},
		{name: "unchanged, of what was not known", liar: listed([]byte{agenttest.Same}), err: broken, says: "though nothing was known"},
		{name: "unchanged, behind a part", before: honestTree(), liar: listed(agenttest.Listing(part, good), []byte{agenttest.Same}), err: broken, says: "though nothing was known"},
		{name: "unchanged, of what was in doubt", before: with("data/late", agenttest.File{Data: "late", Time: time.Now().Add(time.Hour).Unix()}), liar: &agenttest.Agent{Dirs: map[string]func(agenttest.Dir) []byte{
			"data": func(d agenttest.Dir) []byte {
				if d.Runs == 0 {
					return nil
				}
				return []byte{agenttest.Same}
			}}}, err: broken, says: "though it was in doubt"},
		{name: "a folder more than was asked for", liar: &agenttest.Agent{Dirs: map[string]func(agenttest.Dir) []byte{"data/dir": func(agenttest.Dir) []byte {
			return agenttest.Join(agenttest.Listing(last, good), agenttest.Listing(last, good))
		}}}, err: broken, says: "more directories than were asked for"},
		{name: "a folder less than was asked for", liar: payload(agenttest.List), err: broken, says: "not all directories are answered for"},
		{name: "a folder that is listed as file", liar: listed(agenttest.Listing(last, agenttest.Entry{Name: "dir", File: agenttest.File{Data: "x"}}, good))},
		{name: "a folder that is gone", liar: &agenttest.Agent{Dirs: map[string]func(agenttest.Dir) []byte{"data/dir": func(agenttest.Dir) []byte {
			return agenttest.Join([]byte{agenttest.Broke}, agenttest.Varint(0), agenttest.Varint(0), agenttest.Error(agenttest.CodeNotExist, ""))
		}}}},
		{name: "a folder that breaks off", liar: &agenttest.Agent{Dirs: map[string]func(agenttest.Dir) []byte{"data/dir": func(agenttest.Dir) []byte {
			return agenttest.Join([]byte{agenttest.Broke}, agenttest.Varint(0), agenttest.Varint(0), agenttest.Error(agenttest.CodeOther, "\x1b[31mI/O"))
		}}}, problem: "I/O"},
		{name: "a folder without end", liar: flood(func(i int) agenttest.Entry {
			return agenttest.Entry{Name: fmt.Sprintf("%09d", i), File: agenttest.File{Kind: agenttest.Fifo}}
		}), o: agent.Options{Limits: agent.Limits{Directory: 50_000}}, err: agent.ErrLimit, says: "more than 50000 entries"},
		{name: "a folder of long names without end", liar: flood(func(i int) agenttest.Entry {
			return agenttest.Entry{Name: fmt.Sprintf("%09d%s", i, strings.Repeat("n", 4000)), File: agenttest.File{Kind: agenttest.Fifo}}
		}), err: agent.ErrLimit, says: "takes more than"},
		{name: "a folder of attributes without end", liar: flood(func(i int) agenttest.Entry {
			return agenttest.Entry{Name: fmt.Sprintf("%09d", i), File: agenttest.File{Kind: agenttest.Fifo, Xattrs: xattrs(1, 1, 20_000)}}
		}), o: agent.Options{Limits: agent.Limits{Memory: 32 << 20}}, err: agent.ErrLimit, says: "takes more than"},
		{name: "more attributes than there may be", liar: flood(func(i int) agenttest.Entry {
			return agenttest.Entry{Name: fmt.Sprintf("%09d", i), File: agenttest.File{Kind: agenttest.Fifo, Xattrs: xattrs(1, 1, 20_000)}}
		}), o: agent.Options{Limits: agent.Limits{XattrBytes: 8 << 20}}, err: agent.ErrLimit, says: "bytes of extended attributes"},
		{name: "folders in folders without end", liar: turn("d"), problem: "lies more than 2000 deep", bare: true},
		{name: "long folders in folders without end", liar: turn(strings.Repeat("d", 4000)), problem: "path is too long", bare: true},
		{name: "a tree without end", liar: turn("a", "b", "c"), o: agent.Options{Limits: agent.Limits{Entries: 20_000}}, err: agent.ErrLimit, says: "more than 20000 entries"},
		{name: "2,000 attributes", liar: dirWith(xattrs(2000, 2000, 1)), err: broken, says: "list: corrupt encoding"},
		{name: "a count of attributes that lies", liar: dirWith(agenttest.Varint(1 << 50)), err: broken, says: "list: corrupt encoding"},
		{name: "an attribute of 100 KiB", liar: dirWith(xattrs(1, 1, 100<<10)), err: broken, says: "list: corrupt encoding"},
		{name: "an attribute without a name", liar: dirWith(agenttest.Join(agenttest.Varint(1), agenttest.Text(""), agenttest.Text("v"))), err: broken, says: `attribute ""`},
		{name: "an attribute twice", liar: dirWith(agenttest.Join(agenttest.Varint(2), agenttest.Text("a"), agenttest.Text(""), agenttest.Text("a"), agenttest.Text(""))), err: broken, says: `attribute "a"`},
		{name: "a NUL in a target", liar: link("a\x00b"), err: broken, says: `a\x00b`},
		{name: "a target of 100 KiB", liar: link(strings.Repeat("t", 100<<10)), err: broken, says: "list: corrupt encoding"},
		{name: "a link to everywhere", liar: link("../../../../etc"), check: has("data/link"), bare: true},
		{name: "a folder without roots", liar: &agenttest.Agent{Dirs: map[string]func(agenttest.Dir) []byte{"": func(agenttest.Dir) []byte {
			return agenttest.Listing(last, agenttest.Entry{Name: "etc", File: agenttest.File{Kind: agenttest.Directory}}, agenttest.Entry{Name: "root", File: agenttest.File{Data: "x"}})
		}}}, err: broken, says: "outside of the roots", bare: true},
	}
}

// has checks that there is a path.
func has(path string) func(t *testing.T, r *repo.Repo, got map[string]*repo.Entry) {
	return func(t *testing.T, _ *repo.Repo, got map[string]*repo.Entry) {
		if got[path] == nil {
			t.Errorf("%.80q is not in the snapshot", path)
		}
	}
}

// holds checks what is in data/victim.
func holds(want string) func(t *testing.T, r *repo.Repo, got map[string]*repo.Entry) {
	return func(t *testing.T, r *repo.Repo, got map[string]*repo.Entry) {
		if text := contentOf(t, r, got["data/victim"]); text != want {
			t.Errorf("the file has %d bytes %.40q, want %d bytes %.40q", len(text), text, len(want), want)
		}
	}
}

func filesAndHashes() []attack {
	broken := agent.ErrProtocol
	changed := "changed while it was read"
	hole := func(n uint64) func(agenttest.Ask) []byte {
		return func(q agenttest.Ask) []byte { return agenttest.Hole(q.Number, n) }
	}
	tree := func(a *agenttest.Agent, t agenttest.Tree) *agenttest.Agent {
		a.Tree = t
		return a
	}
	secret := noise(99, 20_000) // of another source
	mid := noise(5, 20_000)
	return []attack{
		{name: "more data than the file has", liar: started(small, data("victims!")), err: broken, says: "is longer than the 6 bytes"},
		{name: "less data than the file has", liar: started(small, data("vic")), problem: changed},
		{name: "no data at all", liar: started(small), problem: changed},
		{name: "a file that has grown", liar: started(sized(9), data("victims!!")), check: holds("victims!!")},
		{name: "a file that grows for ever", liar: tree(victim(func(q agenttest.Ask) []byte {
			return agenttest.Join(agenttest.Start(q.Number, sized(1<<50)), agenttest.Data(q.Number, strings.Repeat("x", int(min(q.Most, 8<<20)))), agenttest.End(q.Number, sized(1<<50), 0))
		}), with("data/victim", sized(6))), o: agent.Options{Limits: agent.Limits{Bytes: 64 << 20}}, err: agent.ErrLimit, says: "more than 67108864 bytes of data"},
		{name: "a hole of 2^62 bytes", liar: tree(started(sized(1<<62), hole(1<<62)), with("data/victim", sized(1<<62))), check: func(t *testing.T, _ *repo.Repo, got map[string]*repo.Entry) {
			if x := got["data/victim"]; x == nil || x.Size != 1<<62 {
				t.Errorf("got %+v", x)
			}
		}},
		{name: "holes beyond 2^63 bytes", liar: tree(started(sized(math.MaxInt64), hole(1<<62), hole(1<<62)), with("data/victim", sized(math.MaxInt64))), err: broken, says: "data/victim"},
		{name: "a hole of nothing", liar: started(small, hole(0)), err: broken, says: "item of 0 bytes"},
		{name: "a hole of 2^64 bytes", liar: started(small, hole(math.MaxUint64)), err: broken, says: "size 18446744073709551615"},
		{name: "a chunk of nothing", liar: started(small, data("")), err: broken, says: "item of 0 bytes"},
		{name: "a chunk over 16 MiB", liar: started(sized(1<<30), data(strings.Repeat("x", 16<<20+1))), err: broken, says: "read: corrupt encoding"},
		{name: "a length of data that lies", liar: victim(func(q agenttest.Ask) []byte {
			return agenttest.Join(agenttest.Start(q.Number, small), agenttest.Item(q.Number, 3, agenttest.Varint(1<<40)))
		}), err: broken, says: "read: corrupt encoding"},
		{name: "chunks of one byte, where no cutter cuts", liar: started(small, data("v"), data("i"), data("c"), data("t"), data("i"), data("m")), check: holds("victim")},
		{name: "a million chunks of one byte", liar: tree(victim(bytewise(8<<20)), with("data/victim", sized(8<<20))), err: agent.ErrLimit, says: "pieces"},
		{name: "a million holes of one byte", liar: tree(victim(func(q agenttest.Ask) []byte {
			b := agenttest.Start(q.Number, sized(1<<20))
			for range 1 << 20 {
				b = append(b, agenttest.Hole(q.Number, 1)...)
			}
			return append(b, agenttest.End(q.Number, sized(1<<20), 1)...)
		}), with("data/victim", sized(6))), err: agent.ErrLimit, says: "pieces"},
		{name: "a hundred files that have grown to 1 MiB each", liar: manyGrown(100), bare: true},
		{name: "a hundred files with 1 MiB of attributes each", liar: manyWithXattrs(100), bare: true},
		{name: "a hash where data was asked for", liar: started(small, hashed("victim")), err: broken, says: "of which data was asked for"},
		{name: "data where a hash was asked for", before: with("data/victim", agenttest.File{Data: noise(4, 20_000), Inode: 5}), liar: tree(&agenttest.Agent{Files: map[string]func(agenttest.Ask) []byte{
			"data/victim": func(q agenttest.Ask) []byte {
				f := agenttest.File{Data: mid, Inode: 5, Time: 7}
				return agenttest.Join(agenttest.Start(q.Number, f), agenttest.Data(q.Number, mid), agenttest.End(q.Number, f, 1))
			}}}, with("data/victim", agenttest.File{Data: mid, Inode: 5, Time: 7})), err: broken, says: "of which hashes were asked for"},
		{name: "a hash that does not fit the data", before: large(3), liar: tree(&agenttest.Agent{Answer: frame(agenttest.Fetch, func(q *agenttest.Question) []byte {
			var b []byte
			for i, p := range q.Pieces {
				b = append(b, agenttest.Data(i, strings.Repeat("#", int(p.Length)))...)
			}
			return agenttest.Frame(q.ID, agenttest.Fetch|agenttest.Answer, 0, b)
		})}, large(4)), problem: changed, check: holds(strings.Repeat("#", 3<<20))},
		{name: "the hash of another source's data", before: with("data/victim", agenttest.File{Data: noise(4, 20_000), Inode: 5}), liar: tree(victim(func(q agenttest.Ask) []byte {
			f := agenttest.File{Size: int64(len(secret)), Inode: 5, Time: 7}
			if q.Send { // it does not have the data, and sends something
				return agenttest.Join(agenttest.Start(q.Number, f), agenttest.Data(q.Number, strings.Repeat("?", len(secret))), agenttest.End(q.Number, f, 1))
			}
			return agenttest.Join(agenttest.Start(q.Number, f), agenttest.HashOf(q.Number, secret), agenttest.End(q.Number, f, 1))
		}), with("data/victim", agenttest.File{Size: int64(len(secret)), Inode: 5, Time: 7})), check: holds(strings.Repeat("?", len(secret)))},
		{name: "a hash of more bytes than its chunk has", before: large(3), liar: tree(victim(func(q agenttest.Ask) []byte {
			f := agenttest.File{Size: 9 << 20, Inode: 78, Time: 4}
			first := agenttest.HashOf(q.Number, noise(3, 3<<20)[:256<<10])
			lie := agenttest.Join(first[:2], agenttest.Varint(9<<20), first[len(first)-32:])
			return agenttest.Join(agenttest.Start(q.Number, f), lie, agenttest.End(q.Number, f, 1))
		}), with("data/victim", agenttest.File{Size: 9 << 20, Inode: 78, Time: 4})), check: func(t *testing.T, r *repo.Repo, got map[string]*repo.Entry) {
			f, err := r.OpenEntry(t.Context(), got["data/victim"])
			if err == nil {
				_, err = io.Copy(io.Discard, io.NewSectionReader(f, 0, 9<<20))
			}
			if err == nil {
				t.Error("a chunk was read as what it is not")
			}
		}},
		{name: "a chunk of a fetch twice", before: large(3), liar: fetched(large(4), func(q *agenttest.Question) []byte {
			return agenttest.Join(agenttest.Data(0, "x"), agenttest.Data(0, "x"))
		}), err: broken, says: "comes twice"},
		{name: "a chunk that was not fetched", before: large(3), liar: fetched(large(4), func(q *agenttest.Question) []byte { return agenttest.Data(3000, "x") }), err: broken, says: "chunk 3000 of"},
		{name: "a chunk of a fetch that is too long", before: large(3), liar: fetched(large(4), func(q *agenttest.Question) []byte {
			return agenttest.Data(0, strings.Repeat("x", int(q.Pieces[0].Length)+1))
		}), err: broken, says: "a chunk of"},
		{name: "a hash as a chunk of a fetch", before: large(3), liar: fetched(large(4), func(q *agenttest.Question) []byte { return agenttest.HashOf(0, "x") }), err: broken, says: "a chunk of"},
		{name: "chunks of a fetch that are missing", before: large(3), liar: fetched(large(4), func(q *agenttest.Question) []byte { return nil }), err: broken, says: "not all chunks of"},
		{name: "chunks of a fetch behind the end", before: large(3), liar: fetched(large(4), func(q *agenttest.Question) []byte {
			var b []byte
			for i := range q.Pieces {
				b = append(b, agenttest.Refused(i, agenttest.CodeReplaced, "")...)
			}
			return b
		}), problem: changed},
		{name: "a file that has grown past the small ones, of which the beginning is known", before: with("data/victim", agenttest.File{Data: noise(3, 1<<20), Inode: 78}),
			liar: &agenttest.Agent{Tree: with("data/victim", agenttest.File{Data: noise(3, 1<<20) + noise(4, 1<<20), Inode: 78, Time: 9}), Dirs: map[string]func(agenttest.Dir) []byte{"data": func(agenttest.Dir) []byte {
				return agenttest.Listing(last2, agenttest.Entry{Name: "good", File: agenttest.File{Data: "good"}}, agenttest.Entry{Name: "victim", File: agenttest.File{Size: 1 << 20, Inode: 78, Time: 9}})
			}}}, check: holds(noise(3, 1<<20) + noise(4, 1<<20))},
		{name: "a folder that is read as file", liar: started(agenttest.File{Kind: agenttest.Directory}), err: broken, says: "is of kind 2"},
		{name: "a device that is read as file", liar: started(agenttest.File{Kind: agenttest.Block}), err: broken, says: "is of kind 7"},
		{name: "a file of unknown size that is read", liar: started(sized(-1)), err: broken, says: "-1 bytes long"},
		{name: "a beginning twice", liar: victim(func(q agenttest.Ask) []byte {
			return agenttest.Join(agenttest.Start(q.Number, small), agenttest.Start(q.Number, small))
		}), err: broken, says: "begins twice"},
		{name: "no beginning", liar: victim(func(q agenttest.Ask) []byte { return agenttest.Data(q.Number, "victim") }), err: broken, says: "that was not asked for"},
		{name: "no end", liar: victim(func(q agenttest.Ask) []byte { return agenttest.Start(q.Number, small) }), err: broken, says: "answered"},
		{name: "an end before its time", liar: victim(func(q agenttest.Ask) []byte {
			return agenttest.Join(agenttest.Start(q.Number, small), agenttest.End(q.Number, small, 0))
		}), err: broken, says: "ends too early"},
		{name: "an item of another file", liar: victim(func(q agenttest.Ask) []byte { return agenttest.Start(q.Number+1, small) }), err: broken, says: "not in turn"},
		{name: "an item of a kind that is none", liar: victim(func(q agenttest.Ask) []byte { return agenttest.Item(q.Number, 77) }), err: broken, says: "item of kind 77"},
		{name: "a flag that is none", liar: victim(func(q agenttest.Ask) []byte {
			return agenttest.Join(agenttest.Start(q.Number, small), agenttest.End(q.Number, small, 2))
		}), err: broken, says: "flag"},
		{name: "a file that is refused in colour", liar: victim(func(q agenttest.Ask) []byte { return agenttest.Refused(q.Number, 3, "\x1b[31mno") }), problem: "no", gone: true},
		{name: "a code of an error that is none", liar: victim(func(q agenttest.Ask) []byte { return agenttest.Refused(q.Number, 200, "strange") }), problem: "strange", gone: true},
		{name: "times of 1601 and 9999", liar: &agenttest.Agent{Tree: with("data/victim", agenttest.File{Data: "victim", Time: -11644473600}), Dirs: map[string]func(agenttest.Dir) []byte{}}, check: holds("victim")},
		{name: "times of the end of the world", liar: &agenttest.Agent{Tree: with("data/victim", agenttest.File{Data: "victim", Time: math.MaxInt64})}, check: holds("victim")},
	}
}

const last2 = agenttest.Last

// fetched answers questions for chunks.
func fetched(t agenttest.Tree, items func(q *agenttest.Question) []byte) *agenttest.Agent {
	a := &agenttest.Agent{Tree: t}
	a.Answer = frame(agenttest.Fetch, func(q *agenttest.Question) []byte {
		return agenttest.Frame(q.ID, agenttest.Fetch|agenttest.Answer, 0, items(q))
	})
	return a
}

// bytewise answers for a file of so many bytes with chunks of one.
func bytewise(size int64) func(q agenttest.Ask) []byte {
	return func(q agenttest.Ask) []byte {
		b := agenttest.Start(q.Number, sized(size))
		for range 1 << 20 {
			b = append(b, agenttest.Data(q.Number, "x")...)
		}
		return append(b, agenttest.End(q.Number, sized(size), 0)...)
	}
}

// many is a tree of so many small files, all answered for in the same way.
func many(n int, items func(q agenttest.Ask) []byte) *agenttest.Agent {
	a := &agenttest.Agent{Tree: agenttest.Tree{}, Files: map[string]func(agenttest.Ask) []byte{}}
	for i := range n {
		name := fmt.Sprintf("data/f%04d", i)
		a.Tree[name] = agenttest.File{Data: "x"}
		a.Files[name] = items
	}
	a.Answer = eachFile(a)
	return a
}

// eachFile answers each file of a question in a frame of its own.
func eachFile(a *agenttest.Agent) func(q *agenttest.Question, w io.Writer) (bool, error) {
	files := a.Files
	return func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind != agenttest.Read {
			return false, nil
		}
		for i, f := range q.Files {
			flags := byte(agenttest.More)
			if i == len(q.Files)-1 {
				flags = 0
			}
			if _, err := w.Write(agenttest.Frame(q.ID, q.Kind|agenttest.Answer, flags, files[f.Path](f))); err != nil {
				return true, err
			}
		}
		return true, nil
	}
}

func manyGrown(n int) *agenttest.Agent {
	data := strings.Repeat("x", 1<<20)
	return many(n, func(q agenttest.Ask) []byte {
		f := agenttest.File{Size: 1 << 20}
		return agenttest.Join(agenttest.Start(q.Number, f), agenttest.Data(q.Number, data), agenttest.End(q.Number, f, 1))
	})
}

func manyWithXattrs(n int) *agenttest.Agent {
	x := xattrs(16, 16, 64<<10)
	return many(n, func(q agenttest.Ask) []byte {
		f := agenttest.File{Data: "x", Xattrs: x}
		return agenttest.Join(agenttest.Start(q.Number, f), agenttest.Data(q.Number, "x"), agenttest.End(q.Number, f, 1))
	})
}

func framesAndOrder() []attack {
	broken := agent.ErrProtocol
	on := func(kind byte, b func(q *agenttest.Question) []byte) *agenttest.Agent {
		return &agenttest.Agent{Answer: frame(kind, b)}
	}
	answer := func(q *agenttest.Question, kind, flags byte, p ...[]byte) []byte {
		return agenttest.Frame(q.ID, kind, flags, agenttest.Join(p...))
	}
	list := byte(agenttest.List)
	return []attack{
		{name: "a frame of 4 GiB", liar: raw(list, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0x83, 0), err: broken, says: "frame of 4294967295 bytes"},
		{name: "a frame of 17 MiB and a byte", liar: raw(list, 1, 0, 0x10, 1, 1, 0, 0, 0, 0x83, 0), err: broken, says: "frame of 17825793 bytes"},
		{name: "a frame of 17 MiB of zeros", liar: payload(list, agenttest.Pad(17<<20)), err: broken, says: "though nothing was known"},
		{name: "flags that are none", liar: on(list, func(q *agenttest.Question) []byte { return answer(q, list|agenttest.Answer, 0x40) }), err: broken, says: "flags 0x40"},
		{name: "words of a shell", liar: raw(list, []byte("Segmentation fault (core dumped)\n")...), err: broken, says: "frame of"},
		{name: "a frame that is cut off", o: agent.Options{Redials: 2}, liar: &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
			if q.Kind != list {
				return false, nil
			}
			w.Write(answer(q, list|agenttest.Answer, 0, agenttest.Pad(1000))[:500])
			return true, io.EOF
		}}, err: agent.ErrConnection, says: "unexpected EOF"},
		{name: "a bomb of 1 GiB", liar: on(list, func(q *agenttest.Question) []byte { return packed(q, 1<<30, 1<<20) }), err: broken, says: "claims 1073741824 bytes"},
		{name: "a bomb that claims little", liar: on(list, func(q *agenttest.Question) []byte { return packed(q, 1000, 1<<24) }), err: broken, says: "malformed message"},
		{name: "a frame that claims more than it holds", liar: on(list, func(q *agenttest.Question) []byte { return packed(q, 1<<20, 1000) }), err: broken, says: "malformed message"},
		{name: "a bomb of 17 MiB, often", liar: on(list, func(q *agenttest.Question) []byte { return packed(q, 17<<20, 17<<20) }), err: broken, says: "though nothing was known"},
		{name: "a compressed frame of three bytes", liar: on(list, func(q *agenttest.Question) []byte {
			return answer(q, list|agenttest.Answer, agenttest.Compressed, []byte{1, 2, 3})
		}), err: broken, says: "compressed frame of 3 bytes"},
		{name: "a compressed frame of noise", liar: on(list, func(q *agenttest.Question) []byte {
			return answer(q, list|agenttest.Answer, agenttest.Compressed, agenttest.U32(100), []byte(noise(1, 100)))
		}), err: broken, says: "malformed message"},
		{name: "a question as answer", liar: on(list, func(q *agenttest.Question) []byte { return answer(q, list, 0) }), err: broken, says: "another type"},
		{name: "an answer of another type", liar: on(list, func(q *agenttest.Question) []byte { return answer(q, agenttest.Read|agenttest.Answer, 0) }), err: broken, says: "another type"},
		{name: "an answer of a type that is none", liar: on(list, func(q *agenttest.Question) []byte { return answer(q, 0xee, 0) }), err: broken, says: "another type"},
		{name: "an answer to a question that was not asked", liar: on(list, func(q *agenttest.Question) []byte { q.ID += 1000; return answer(q, list|agenttest.Answer, 0) }), err: broken, says: "a question that was not asked"},
		{name: "an answer without a question", liar: &agenttest.Agent{Answer: frame(agenttest.Begin, func(q *agenttest.Question) []byte {
			return agenttest.Join(answer(q, agenttest.Begin|agenttest.Answer, 0, []byte{0}), agenttest.Frame(0xffffffff, list|agenttest.Answer, 0, nil))
		})}, err: broken, says: "a question that was not asked"},
		{name: "an answer twice", liar: on(list, func(q *agenttest.Question) []byte {
			one := answer(q, list|agenttest.Answer, 0, agenttest.Listing(agenttest.Last, agenttest.Entry{Name: "data", File: agenttest.File{Kind: agenttest.Directory}}))
			return agenttest.Join(one, one)
		}), err: broken, says: "a question that was not asked"},
		{name: "answers in reverse order", liar: &agenttest.Agent{Tree: manySmall(200), Answer: reversed()}, bare: true},
		{name: "another begin", liar: on(agenttest.Begin, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Begin|agenttest.Answer, agenttest.More, []byte{0})
		}), err: broken, says: "in more than one frame"},
		{name: "a ping that never ends", liar: endless(agenttest.Ping, func(int) []byte { return nil }), err: broken, says: "in more than one frame"},
		{name: "a ping with a message", liar: payload(agenttest.Ping, []byte("hello")), err: broken, says: "empty message"},
		{name: "a ping that is answered as a list", liar: on(agenttest.Ping, func(q *agenttest.Question) []byte { return answer(q, list|agenttest.Answer, 0) }), err: broken, says: "another type"},
		{name: "frames of nothing for ever", liar: endless(list, func(int) []byte { return nil }), err: broken, says: "a frame of nothing"},
		{name: "problems of roots beyond count", liar: payload(agenttest.Begin, agenttest.Varint(1<<30)), err: broken, says: "begin: corrupt encoding"},
		{name: "a root that is refused in colour", liar: payload(agenttest.Begin, agenttest.Varint(1), agenttest.Text("/data"), agenttest.Error(6, "\x1b[31mno\x00")), says: "no"},
		{name: "an error that is none", liar: on(list, func(q *agenttest.Question) []byte { return answer(q, agenttest.Failed, 0) }), err: broken, says: "malformed error"},
		{name: "an error of which more is to come", liar: on(list, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Failed, agenttest.More, agenttest.Error(1, "x"))
		}), err: broken, says: "malformed error"},
		{name: "an error with 100 KiB of text", liar: on(list, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Failed, 0, agenttest.Error(1, strings.Repeat("!", 100<<10)))
		}), err: broken, says: "malformed error"},
		{name: "nothing but errors", liar: on(list, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Failed, 0, agenttest.Error(1, "no \x1b[31m"))
		}), problem: "no", bare: true},
	}
}

// manySmall is a tree of small files in many folders.
func manySmall(n int) agenttest.Tree {
	t := agenttest.Tree{}
	for i := range n {
		t[fmt.Sprintf("data/d%03d/f", i)] = agenttest.File{Data: fmt.Sprint("file ", i)}
	}
	return t
}

// reversed keeps the first long question for folders back, and answers it behind the second one, which the protocol allows.
func reversed() func(q *agenttest.Question, w io.Writer) (bool, error) {
	honest := &agenttest.Agent{Tree: manySmall(200)}
	var kept []byte
	return func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind != agenttest.List || len(q.Dirs) < 10 {
			return false, nil
		}
		if kept == nil {
			kept = honest.Honest(q)
			return true, nil
		}
		_, err := w.Write(agenttest.Join(honest.Honest(q), kept))
		return true, err
	}
}

func silence() []attack {
	quiet := agent.Options{Redials: 1, Limits: agent.Limits{Idle: idle, Stall: time.Minute}}
	stalls := agent.Options{Limits: agent.Limits{Idle: 6 * idle, Stall: idle}}
	nothing := func(*agenttest.Question) []byte { return nil }
	return []attack{
		{name: "silence", o: quiet, liar: &agenttest.Agent{Answer: func(q *agenttest.Question, _ io.Writer) (bool, error) {
			return q.Kind != agenttest.Hello && q.Kind != agenttest.Begin, nil
		}}, err: agent.ErrConnection, says: "after 1 tries"},
		{name: "silence from the beginning", o: quiet, liar: &agenttest.Agent{Answer: frame(agenttest.Hello, nothing)}, err: nil, says: "no agent answers"},
		{name: "silence behind hello", o: quiet, liar: &agenttest.Agent{Answer: func(q *agenttest.Question, _ io.Writer) (bool, error) { return q.Kind != agenttest.Hello, nil }}, err: agent.ErrConnection, says: "after 1 tries"},
		{name: "a question without an answer", o: agent.Options{Limits: agent.Limits{Idle: 6 * idle, Stall: idle}}, liar: &agenttest.Agent{Answer: frame(agenttest.Read, nothing)}, err: agent.ErrLimit, says: "was not answered for"},
		{name: "a byte now and then", o: stalls, liar: &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
			if q.Kind != agenttest.List {
				return false, nil
			}
			for _, b := range agenttest.Frame(q.ID, q.Kind|agenttest.Answer, 0, agenttest.Pad(10_000)) {
				if _, err := w.Write([]byte{b}); err != nil {
					return true, err
				}
				time.Sleep(5 * time.Millisecond)
			}
			return true, nil
		}}, err: agent.ErrLimit, says: "was not answered for"},
		{name: "a cut at each answer", o: agent.Options{Redials: 3}, liar: &agenttest.Agent{Answer: func(q *agenttest.Question, _ io.Writer) (bool, error) {
			if q.Kind == agenttest.List {
				return true, io.EOF
			}
			return false, nil
		}}, err: agent.ErrConnection, says: "after 3 tries"},
		{name: "another machine behind a cut", liar: changing(func(q *agenttest.Question) []byte {
			return agenttest.Greeting{Machine: fmt.Sprint("m", q.Dial)}.Encode()
		}), err: agent.ErrProtocol, says: "another machine answers"},
		{name: "another version behind a cut", liar: changing(func(q *agenttest.Question) []byte { return agenttest.Greeting{Version: uint64(1 + q.Dial)}.Encode() }), err: protocol.ErrVersion, says: "version 2"},
		{name: "a root that is gone behind a cut", liar: &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
			switch {
			case q.Kind == agenttest.Begin && q.Dial > 0:
				_, err := w.Write(agenttest.Frame(q.ID, q.Kind|agenttest.Answer, 0, agenttest.Join(agenttest.Varint(1), agenttest.Text("/data"), agenttest.Error(agenttest.CodeRoot, "gone"))))
				return true, err
			case q.Kind == agenttest.List && q.Dial == 0:
				return true, io.EOF
			}
			return false, nil
		}}, err: source.ErrRootMissing, says: `root "/data"`},
	}
}

// changing cuts the first connection, and greets as it likes.
func changing(greeting func(q *agenttest.Question) []byte) *agenttest.Agent {
	return &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
		if q.Kind == agenttest.Hello {
			_, err := w.Write(agenttest.Frame(q.ID, q.Kind|agenttest.Answer, 0, greeting(q)))
			return true, err
		}
		if q.Kind == agenttest.List && q.Dial == 0 {
			return true, io.EOF
		}
		return false, nil
	}}
}

func words() []attack {
	broken := agent.ErrProtocol
	greeting := func(g agenttest.Greeting) *agenttest.Agent { return &agenttest.Agent{Greeting: g.Encode()} }
	piece := func(q *agenttest.Question, end byte, data string) []byte {
		return agenttest.Frame(q.ID, agenttest.StreamNext|agenttest.Answer, 0, agenttest.Join([]byte{end}, agenttest.Text(data)))
	}
	dump := "dump.sql"
	return []attack{
		{name: "version 0", liar: &agenttest.Agent{Greeting: agenttest.Join(agenttest.Varint(0), agenttest.Greeting{}.Encode()[1:])}, err: broken, says: "version 0"},
		{name: "version 65535", liar: greeting(agenttest.Greeting{Version: 65535}), err: protocol.ErrVersion, says: "version 65535"},
		{name: "version 2^60", liar: greeting(agenttest.Greeting{Version: 1 << 60}), err: broken, says: "hello: corrupt encoding"},
		{name: "a greeting of 17 MiB", liar: &agenttest.Agent{Greeting: agenttest.Join(agenttest.Varint(1), agenttest.Pad(17<<20-1))}, err: broken, says: "hello"},
		{name: "a greeting with a billion roots", liar: greeting(agenttest.Greeting{Roots: agenttest.Varint(1 << 30)}), err: broken, says: "hello: corrupt encoding"},
		{name: "a greeting with 4,097 roots", liar: greeting(agenttest.Greeting{Roots: agenttest.Texts(slices.Repeat([]string{"/x"}, 4097)...)}), err: broken, says: "hello: corrupt encoding"},
		{name: "room for no question", liar: &agenttest.Agent{Greeting: agenttest.Join(agenttest.Varint(1), agenttest.Pad(14))}, err: broken, says: "0 requests"},
		{name: "a clock of 1601", liar: greeting(agenttest.Greeting{Clock: -11644473600})},
		{name: "a clock of 9999", liar: greeting(agenttest.Greeting{Clock: 253402300799})},
		{name: "a clock of the end of the world", liar: greeting(agenttest.Greeting{Clock: math.MaxInt64})},
		{name: "a stream that never ends", stream: dump, liar: streamed(func(q *agenttest.Question) []byte { return piece(q, 0, strings.Repeat("x", int(q.Most))) }), o: agent.Options{Limits: agent.Limits{Bytes: 64 << 20}}, err: agent.ErrLimit, says: "more than 67108864 bytes"},
		{name: "a stream of nothing that never ends", stream: dump, liar: streamed(func(q *agenttest.Question) []byte { return piece(q, 0, "") }), err: broken, says: "gives nothing and does not end"},
		{name: "more of a stream than was asked for", stream: dump, liar: streamed(func(q *agenttest.Question) []byte { return piece(q, 0, strings.Repeat("x", int(q.Most)+1)) }), err: broken, says: "stream: corrupt encoding"},
		{name: "a stream that fails", stream: dump, liar: streamed(func(q *agenttest.Question) []byte {
			return agenttest.Frame(q.ID, agenttest.Failed, 0, agenttest.Error(agenttest.CodeStream, "exit status 3"))
		}), err: source.ErrStream, says: "exit status 3"},
		{name: "a stream that fails behind its data", stream: dump, liar: streamed(func(q *agenttest.Question) []byte {
			if q.Offset == 0 {
				return piece(q, 0, "-- some text\n-- PostgreSQL database dump complete\n")
			}
			return agenttest.Frame(q.ID, agenttest.Failed, 0, agenttest.Error(agenttest.CodeStream, "signal: killed"))
		}), err: source.ErrStream, says: "signal: killed"},
		{name: "a stream that is cut off", stream: dump, liar: &agenttest.Agent{Streams: map[string]string{dump: "x"}, Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
			if q.Kind != agenttest.StreamNext {
				return false, nil
			}
			if q.Dial == 0 {
				return true, io.EOF
			}
			_, err := w.Write(agenttest.Frame(q.ID, agenttest.Failed, 0, agenttest.Error(agenttest.CodeStream, "no such handle")))
			return true, err
		}}, err: source.ErrStream, says: dump},
		{name: "a flag of a stream that is none", stream: dump, liar: streamed(func(q *agenttest.Question) []byte { return piece(q, 7, "x") }), err: broken, says: "flag"},
		{name: "a stream in frames without end", stream: dump, liar: func() *agenttest.Agent {
			a := endless(agenttest.StreamNext, func(int) []byte { return agenttest.Join([]byte{0}, agenttest.Text("x")) })
			a.Streams = map[string]string{dump: ""}
			return a
		}(), err: broken, says: "in more than one frame"},
		{name: "a handle that is none", stream: dump, liar: payload(agenttest.StreamStart, []byte{0x80}), err: broken, says: "stream: corrupt encoding"},
	}
}
