package sftp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/sftptest"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/repo"
)

// Modes with the bits of the type.
const (
	modeFile = 0o100644
	modeDir  = 0o040755
	modeLink = 0o120777
)

// liar returns how to reach a server in this process.
func liar(t testing.TB, server *sftptest.Server) sftp.Dial {
	t.Helper()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return func(context.Context) (io.ReadWriteCloser, error) {
		here, there := net.Pipe()
		wg.Go(func() { server.Serve(there) })
		t.Cleanup(func() { here.Close() })
		return here, nil
	}
}

func honestTree() sftptest.Tree {
	return sftptest.Tree{
		"/data/good":      {Mode: modeFile, Data: "good"},
		"/data/dir/inner": {Mode: modeFile, Data: "inner"},
		"/data/link":      {Mode: modeLink, Data: "good"},
		"/data/victim":    {Mode: modeFile, Data: "victim"},
	}
}

type answer = func(q *sftptest.Request, w io.Writer) (bool, error)

// on answers one kind of request for one path with what packets returns; each may be anything.
func on(kind byte, path string, packets func(q *sftptest.Request) []byte) answer {
	return func(q *sftptest.Request, w io.Writer) (bool, error) {
		if q.Kind != kind || q.Path != path {
			return false, nil
		}
		b := packets(q)
		if b == nil {
			return true, nil // no answer
		}
		_, err := w.Write(b)
		return true, err
	}
}

// also lists further entries in /data.
func also(entries ...sftptest.Entry) answer {
	return on(sftptest.Readdir, "/data", func(q *sftptest.Request) []byte {
		if q.Nth > 0 {
			return sftptest.StatusOf(q.ID, sftptest.EOF)
		}
		file := sftptest.File{Mode: modeFile, Size: 4}
		return sftptest.Names(q.ID, append([]sftptest.Entry{{Name: "good", File: file}}, entries...)...)
	})
}

func all(answers ...answer) answer {
	return func(q *sftptest.Request, w io.Writer) (bool, error) {
		for _, a := range answers {
			if answered, err := a(q, w); answered || err != nil {
				return answered, err
			}
		}
		return false, nil
	}
}

func attrs(f sftptest.File) func(q *sftptest.Request) []byte {
	return func(q *sftptest.Request) []byte { return sftptest.New(sftptest.Attrs, q.ID, f.Encode()) }
}

func status(code uint32) func(q *sftptest.Request) []byte {
	return func(q *sftptest.Request) []byte { return sftptest.StatusOf(q.ID, code) }
}

func raw(b ...byte) func(q *sftptest.Request) []byte {
	return func(*sftptest.Request) []byte { return b }
}

// attack is what a server does, and what has to become of it: an error of the pull, a problem of an entry, or neither,
// if there is nothing wrong with it in the end.
type attack struct {
	name    string
	answer  answer
	err     error
	problem string
	hello   []byte
	o       sftp.Options
	gone    bool // /data/victim is not in the snapshot, or without content
	check   func(t *testing.T, got map[string]*repo.Entry)
}

var regular = sftptest.File{Mode: modeFile, Size: 4}

func attacks() []attack {
	var (
		broken     = sftp.ErrProtocol
		impossible = sftp.ErrImpossible.Error()
		replaced   = source.ErrReplaced.Error()
		victim     = "/data/victim"
		odd        = func(name string) answer { return also(sftptest.Entry{Name: name, File: regular}) }
	)
	huge := regular
	huge.Size = 1 << 63
	list := []attack{
		{name: "a slash in a name", answer: odd("a/b"), problem: impossible},
		{name: "an absolute path as name", answer: odd("/etc/passwd"), problem: impossible},
		{name: "a way up as name", answer: odd("../../etc/cron.d/x"), problem: impossible},
		{name: "a NUL in a name", answer: odd("a\x00b"), problem: impossible},
		{name: "an empty name", answer: odd(""), problem: impossible},
		{name: "a name of 64 KiB", answer: odd(strings.Repeat("n", 64<<10)), problem: impossible},
		{name: "dots as files", answer: also(sftptest.Entry{Name: ".", File: regular}, sftptest.Entry{Name: "..", File: regular})},
		{name: "a name twice", answer: also(sftptest.Entry{Name: "good", File: regular}), problem: "twice"},
		{name: "a name as file and folder", answer: also(sftptest.Entry{Name: "good", File: sftptest.File{Mode: modeDir}}), problem: "twice"},
		{name: "control bytes in a name", answer: all(also(sftptest.Entry{Name: "\x1b[2J\r\n", File: sftptest.File{Mode: 0o010644}})),
			check: func(t *testing.T, got map[string]*repo.Entry) {
				if got["data/\x1b[2J\r\n"] == nil {
					t.Error("the name is gone")
				}
			}},
		{name: "a kind that is none", answer: also(sftptest.Entry{Name: "x", File: sftptest.File{Mode: 0o170644}}), problem: impossible},
		{name: "a size beyond all", answer: also(sftptest.Entry{Name: "x", File: huge}), problem: impossible},
		{name: "no attributes", problem: impossible, answer: on(sftptest.Readdir, "/data", func(q *sftptest.Request) []byte {
			if q.Nth > 0 {
				return sftptest.StatusOf(q.ID, sftptest.EOF)
			}
			return sftptest.New(sftptest.Name, q.ID, sftptest.U32(2), sftptest.Text("good"), sftptest.Text(""), regular.Encode(), sftptest.Text("x"), sftptest.Text(""), sftptest.U32(0))
		})},
		{name: "100,000 names that cannot be", problem: impossible, answer: also(slices.Repeat([]sftptest.Entry{{Name: "", File: regular}}, 3000)...)},
		{name: "a folder without end", problem: "a folder of more than 5000 entries", o: sftp.Options{Limits: sftp.Limits{Directory: 5000}},
			answer: on(sftptest.Readdir, "/data/dir", func(q *sftptest.Request) []byte {
				var entries []sftptest.Entry
				for i := range 100 {
					entries = append(entries, sftptest.Entry{Name: strings.Repeat("x", 1+q.Nth) + strings.Repeat("y", i), File: sftptest.File{Mode: 0o010644}})
				}
				return sftptest.Names(q.ID, entries...)
			})},
		{name: "a folder with one name without end", problem: impossible, o: sftp.Options{Limits: sftp.Limits{Directory: 5000}},
			answer: on(sftptest.Readdir, "/data/dir", func(q *sftptest.Request) []byte {
				return sftptest.Names(q.ID, slices.Repeat([]sftptest.Entry{{Name: "x", File: sftptest.File{Mode: 0o010644}}}, 100)...)
			})},
		{name: "folders in folders without end", problem: "the folder lies more than 1000 deep", answer: deep("d")},
		{name: "long folders in folders without end", problem: "or its path has more than 16384 bytes", answer: deep(strings.Repeat("d", 250))},
		{name: "a tree without end", err: sftp.ErrLimit, o: sftp.Options{Limits: sftp.Limits{Entries: 20_000}}, answer: deep("a", "b", "c")},
		{name: "no names, and no end", err: broken, answer: on(sftptest.Readdir, "/data", func(q *sftptest.Request) []byte { return sftptest.Names(q.ID) })},
		{name: "a count of names that lies", err: broken, answer: on(sftptest.Readdir, "/data", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Name, q.ID, sftptest.U32(1<<32-1), sftptest.Text("x"))
		})},
		{name: "names that are cut off", err: broken, answer: on(sftptest.Readdir, "/data", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Name, q.ID, sftptest.U32(1), sftptest.U32(1<<31), make([]byte, 20))
		})},
		{name: "four billion extended attributes", err: broken, answer: on(sftptest.Readdir, "/data", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Name, q.ID, sftptest.U32(1), sftptest.Text("x"), sftptest.Text(""), sftptest.U32(1<<31), sftptest.U32(1<<32-1))
		})},
		{name: "an answer to another question", err: broken, answer: on(sftptest.Opendir, "/data", func(q *sftptest.Request) []byte { return sftptest.StatusOf(q.ID+77, sftptest.OK) })},
		{name: "two answers", err: broken, answer: on(sftptest.Lstat, "/data", func(q *sftptest.Request) []byte {
			look := attrs(sftptest.File{Mode: modeDir})
			return append(look(q), look(q)...)
		})},
		{name: "a packet of 1 MiB", err: broken, answer: on(sftptest.Opendir, "/data", raw(0, 0x10, 0, 0, sftptest.Handle, 0, 0, 0, 1))},
		{name: "a packet of 4 GiB", err: broken, answer: on(sftptest.Opendir, "/data", raw(0xff, 0xff, 0xff, 0xff, sftptest.Handle, 0, 0, 0, 1))},
		{name: "a packet of nothing", err: broken, answer: on(sftptest.Opendir, "/data", raw(0, 0, 0, 0, 0, 0, 0, 0, 0))},
		{name: "words of a shell", err: broken, answer: on(sftptest.Opendir, "/data", func(*sftptest.Request) []byte { return []byte("Welcome to this machine!\r\n") })},
		{name: "a handle that is a list", err: broken, answer: on(sftptest.Opendir, "/data", func(q *sftptest.Request) []byte { return sftptest.Names(q.ID) })},
		{name: "a handle of 10 KiB", err: broken, answer: on(sftptest.Opendir, "/data", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Handle, q.ID, sftptest.Text(strings.Repeat("h", 10<<10)))
		})},
		{name: "all is well instead of a handle", err: broken, answer: on(sftptest.Open, victim, status(sftptest.OK))},
		{name: "a status without a code", err: broken, answer: on(sftptest.Opendir, "/data", func(q *sftptest.Request) []byte { return sftptest.New(sftptest.Status, q.ID) })},
		{name: "a refusal in colour", problem: `\x1b[31m`, gone: true, answer: on(sftptest.Open, victim, func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Status, q.ID, sftptest.U32(99999), sftptest.Text("\x1b[31m"+strings.Repeat("!", 50<<10)), sftptest.Text(""))
		})},
		{name: "more data than was asked for", err: broken, answer: on(sftptest.Read, victim, func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Data, q.ID, sftptest.Text(strings.Repeat("x", int(q.Length)+1)))
		})},
		{name: "no data, and no end", err: broken, answer: on(sftptest.Read, victim, func(q *sftptest.Request) []byte { return sftptest.New(sftptest.Data, q.ID, sftptest.Text("")) })},
		{name: "a length of data that lies", err: broken, answer: on(sftptest.Read, victim, func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.Data, q.ID, sftptest.U32(1), []byte("several"))
		})},
		{name: "another version", err: broken, hello: sftptest.New(sftptest.Version, 6)},
		{name: "a greeting of words", err: broken, hello: []byte("This account is currently not available.\n")},
		{name: "a greeting that is too long", err: broken, hello: []byte{0x7f, 0xff, 0xff, 0xff, sftptest.Version, 0, 0, 0, 3}},
		{name: "a greeting that lies in itself", err: broken, hello: sftptest.New(sftptest.Version, 3, sftptest.U32(1<<30))},
		{name: "a folder of roots that is nowhere", err: broken, answer: on(sftptest.Realpath, "/", func(q *sftptest.Request) []byte { return sftptest.Names(q.ID, sftptest.Entry{Name: "../.."}) })},
		{name: "silence", err: sftp.ErrConnection, answer: on(sftptest.Readdir, "/data", raw()), o: sftp.Options{Limits: sftp.Limits{Idle: 100 * time.Millisecond}, Redials: 2}},
		{name: "a byte now and then", err: sftp.ErrConnection, o: sftp.Options{Limits: sftp.Limits{Idle: time.Second, Stall: 200 * time.Millisecond}, Redials: 2},
			answer: func(q *sftptest.Request, w io.Writer) (bool, error) {
				if q.Kind != sftptest.Readdir {
					return false, nil
				}
				for _, b := range sftptest.Names(q.ID, slices.Repeat([]sftptest.Entry{{Name: "x", File: regular}}, 1000)...) {
					if _, err := w.Write([]byte{b}); err != nil {
						return true, err
					}
					time.Sleep(20 * time.Millisecond)
				}
				return true, nil
			}},
		{name: "an end at each opening of a file", problem: "given up after 8 times", gone: true, answer: func(q *sftptest.Request, _ io.Writer) (bool, error) {
			if q.Kind == sftptest.Open && q.Path == victim {
				return true, io.EOF
			}
			return false, nil
		}},
		{name: "a FIFO where a file was, on which the server hangs", problem: replaced, gone: true, o: sftp.Options{Limits: sftp.Limits{Idle: 200 * time.Millisecond}},
			answer: all(on(sftptest.Open, victim, raw()), on(sftptest.Lstat, victim, attrs(sftptest.File{Mode: 0o010644})))},
		{name: "a file that has grown", answer: all(on(sftptest.Fstat, victim, attrs(sftptest.File{Mode: modeFile, Size: 7})), on(sftptest.Lstat, victim, attrs(sftptest.File{Mode: modeFile, Size: 7})),
			on(sftptest.Read, victim, func(q *sftptest.Request) []byte {
				return sftptest.New(sftptest.Data, q.ID, sftptest.Text("victims"[q.Offset:min(7, q.Offset+uint64(q.Length))]))
			})), check: func(t *testing.T, got map[string]*repo.Entry) {
			if x := got["data/victim"]; x == nil || x.Size != 7 || x.Marks != 0 {
				t.Errorf("got %+v", x)
			}
		}},
		{name: "a file that ends early", problem: "changed while it was read", answer: on(sftptest.Read, victim, status(sftptest.EOF))},
		{name: "a file without end", err: sftp.ErrLimit, o: sftp.Options{Limits: sftp.Limits{Bytes: 32 << 20}}, answer: endless(victim, func(n uint32) string { return strings.Repeat("x", int(n)) })},
		{name: "zeros without end", err: sftp.ErrLimit, o: sftp.Options{Limits: sftp.Limits{Bytes: 32 << 20}}, answer: endless(victim, func(n uint32) string { return string(make([]byte, n)) })},
		{name: "a folder that is opened as file", problem: replaced, gone: true, answer: on(sftptest.Fstat, victim, attrs(sftptest.File{Mode: modeDir}))},
		{name: "a device that is opened as file", problem: replaced, gone: true, answer: on(sftptest.Fstat, victim, attrs(sftptest.File{Mode: 0o020600}))},
		{name: "a file of somebody else", problem: replaced, gone: true, answer: on(sftptest.Fstat, victim, attrs(sftptest.File{Mode: modeFile, Size: 6, UID: 7}))},
		{name: "a secret file", problem: replaced, gone: true, answer: on(sftptest.Fstat, victim, attrs(sftptest.File{Mode: 0o100600, Size: 6}))},
		{name: "a file that is not the one in the folder", problem: replaced, gone: true, answer: on(sftptest.Fstat, victim, attrs(sftptest.File{Mode: modeFile, Size: 1000}))},
		{name: "a file behind a link", problem: replaced, gone: true, answer: on(sftptest.Realpath, victim, elsewhere)},
		{name: "a folder behind a link", problem: replaced, answer: on(sftptest.Realpath, "/data/dir", elsewhere)},
		{name: "a folder that turns into a file", problem: "the server says", answer: on(sftptest.Opendir, "/data/dir", status(sftptest.Failure))},
		{name: "a folder that is gone", answer: on(sftptest.Opendir, "/data/dir", status(sftptest.NoSuchFile))},
		{name: "a file that is gone", answer: on(sftptest.Open, victim, status(sftptest.NoSuchFile)), gone: true},
		{name: "a link to itself", answer: on(sftptest.Readlink, "/data/link", func(q *sftptest.Request) []byte { return sftptest.Names(q.ID, sftptest.Entry{Name: "link"}) })},
		{name: "a link to nowhere at all", problem: impossible, answer: on(sftptest.Readlink, "/data/link", func(q *sftptest.Request) []byte { return sftptest.Names(q.ID, sftptest.Entry{Name: ""}) })},
		{name: "a NUL in a target", problem: impossible, answer: on(sftptest.Readlink, "/data/link", func(q *sftptest.Request) []byte { return sftptest.Names(q.ID, sftptest.Entry{Name: "a\x00"}) })},
		{name: "a target of 100 KiB", problem: impossible, answer: on(sftptest.Readlink, "/data/link", func(q *sftptest.Request) []byte {
			return sftptest.Names(q.ID, sftptest.Entry{Name: strings.Repeat("x", 100<<10)})
		})},
		{name: "two targets", err: broken, answer: on(sftptest.Readlink, "/data/link", func(q *sftptest.Request) []byte {
			return sftptest.Names(q.ID, sftptest.Entry{Name: "a"}, sftptest.Entry{Name: "b"})
		})},
		{name: "an owner with control bytes", answer: on(sftptest.Extended, "users-groups-by-id@openssh.com", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.ExtendedReply, q.ID, sftptest.Text(string(sftptest.Text("root\x1b[0m"))), sftptest.Text(string(sftptest.Text(strings.Repeat("g", 5000)))))
		}), check: func(t *testing.T, got map[string]*repo.Entry) {
			if x := got["data/good"]; x.User != "" || x.Group != "" {
				t.Errorf("owner %q, group %q", x.User, x.Group)
			}
		}},
		{name: "owners that are cut off", err: broken, answer: on(sftptest.Extended, "users-groups-by-id@openssh.com", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.ExtendedReply, q.ID, sftptest.Text("x"))
		})},
		{name: "limits of nothing", answer: on(sftptest.Extended, "limits@openssh.com", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.ExtendedReply, q.ID, make([]byte, 32))
		})},
		{name: "limits beyond all", answer: on(sftptest.Extended, "limits@openssh.com", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.ExtendedReply, q.ID, bytes.Repeat([]byte{0xff}, 32))
		})},
		{name: "limits that are cut off", err: broken, answer: on(sftptest.Extended, "limits@openssh.com", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.ExtendedReply, q.ID, make([]byte, 31))
		})},
		{name: "a file system that is cut off", err: broken, o: sftp.Options{OneFileSystem: true}, answer: on(sftptest.Extended, "statvfs@openssh.com", func(q *sftptest.Request) []byte {
			return sftptest.New(sftptest.ExtendedReply, q.ID, make([]byte, 70))
		})},
		{name: "no file systems", err: sftp.ErrUnsupported, o: sftp.Options{OneFileSystem: true}, hello: sftptest.New(sftptest.Version, 3)},
		{name: "a byte at a time", answer: on(sftptest.Read, victim, func(q *sftptest.Request) []byte {
			if q.Offset >= 6 {
				return sftptest.StatusOf(q.ID, sftptest.EOF)
			}
			return sftptest.New(sftptest.Data, q.ID, sftptest.Text("victim"[q.Offset:q.Offset+1]))
		})},
		{name: "answers in reverse order", answer: reversed()},
	}
	return list
}

func elsewhere(q *sftptest.Request) []byte {
	return sftptest.Names(q.ID, sftptest.Entry{Name: "/etc/shadow"})
}

// deep answers below /data/dir as if each folder had the same folders.
func deep(names ...string) answer {
	return func(q *sftptest.Request, w io.Writer) (bool, error) {
		p := sftptest.Packet(nil)
		switch {
		case q.Kind == sftptest.Opendir && strings.HasPrefix(q.Text, "/data/dir/"):
			p = sftptest.New(sftptest.Handle, q.ID, sftptest.Text(fmt.Sprintf(">%x", sha256.Sum256([]byte(q.Text)))))
		case q.Kind != sftptest.Readdir || q.Path != "/data/dir" && !strings.HasPrefix(q.Path, ">"):
			return false, nil
		case q.Nth%2 == 1:
			p = sftptest.StatusOf(q.ID, sftptest.EOF)
		default:
			var entries []sftptest.Entry
			for _, name := range names {
				entries = append(entries, sftptest.Entry{Name: name, File: sftptest.File{Mode: modeDir}})
			}
			p = sftptest.Names(q.ID, entries...)
		}
		_, err := w.Write(p)
		return true, err
	}
}

// endless is a file that has a petabyte, or says so.
func endless(path string, data func(n uint32) string) answer {
	f := sftptest.File{Mode: modeFile, Size: 1 << 50}
	return all(on(sftptest.Fstat, path, attrs(f)), on(sftptest.Lstat, path, attrs(f)), on(sftptest.Read, path, func(q *sftptest.Request) []byte {
		return sftptest.New(sftptest.Data, q.ID, sftptest.Text(data(q.Length)))
	}))
}

// reversed answers two looks at a file in reverse order, which the protocol allows.
func reversed() answer {
	var first *sftptest.Request
	f := sftptest.File{Mode: modeFile, Size: 6}
	return func(q *sftptest.Request, w io.Writer) (bool, error) {
		if q.Kind != sftptest.Fstat || q.Path != "/data/victim" {
			return false, nil
		}
		if first == nil {
			first = q
			return true, nil
		}
		_, err := w.Write(append(sftptest.New(sftptest.Attrs, q.ID, f.Encode()), sftptest.New(sftptest.Attrs, first.ID, f.Encode())...))
		return true, err
	}
}

func TestHostileServers(t *testing.T) {
	r := vault(t)
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			if a.o.Limits.Idle > 0 { // it waits for what never comes, in the time of a bubble
				synctest.Test(t, func(t *testing.T) { a.run(t, vault(t)) })
				return
			}
			a.run(t, r)
		})
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.Sys > 768<<20 {
		t.Errorf("the attacks took %d MiB", m.Sys>>20)
	}
}

// run pulls from the server.
func (a *attack) run(t *testing.T, r *repo.Repo) {
	t.Helper()
	server := &sftptest.Server{Tree: honestTree(), Answer: a.answer, Greeting: a.hello}
	o := a.o
	o.Roots, o.Backoff = []string{"/data"}, time.Millisecond
	patient(&o.Limits)
	s, err := sftp.New(liar(t, server), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var (
		mu       sync.Mutex
		problems []string
	)
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: a.name, AllowEmpty: true, Problem: func(p repo.Problem) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, p.Path+": "+p.Err.Error())
	}})
	if !errors.Is(err, a.err) || (err == nil) != (a.err == nil) {
		t.Fatalf("error %v, want %v", err, a.err)
	}
	if err != nil {
		return
	}
	a.judge(t, r, res, problems)
}

func (a *attack) judge(t *testing.T, r *repo.Repo, res *repo.BackupResult, problems []string) {
	t.Helper()
	if (len(problems) > 0) != (a.problem != "") {
		t.Errorf("problems %.300q", problems)
	}
	for _, p := range problems {
		if !strings.Contains(p, a.problem) || len(p) > 33<<10 || strings.ContainsAny(p, "\x1b\x00") {
			t.Errorf("problem %.500q", p)
		}
	}
	got := map[string]*repo.Entry{}
	err := r.Walk(t.Context(), res.Snapshot, "", func(dir string, entries []repo.Entry) error {
		for i := range entries {
			got[strings.TrimPrefix(dir+"/"+entries[i].Name, "/")] = &entries[i]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for p, x := range got {
		if p != "data" && !strings.HasPrefix(p, "data/") || strings.Contains(x.Name, "/") {
			t.Errorf("%q is in the snapshot", p)
		}
	}
	if text := content(t, r, got["data/good"]); text != "good" {
		t.Errorf("the good file has %q", text)
	}
	if x := got["data/victim"]; a.gone && x != nil && len(x.Parts) > 0 {
		t.Errorf("the file was read: %+v", x)
	}
	if a.check != nil {
		a.check(t, got)
	}
}

func content(t *testing.T, r *repo.Repo, x *repo.Entry) string {
	t.Helper()
	if x == nil {
		return "nothing"
	}
	f, err := r.OpenEntry(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, x.Size))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
