package sftptest

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Tree is what a server shows, by absolute path. The folders above need not be named.
type Tree map[string]File

// Server is a server for any number of connections.
type Server struct {
	Tree Tree
	// Answer returns the packets that are sent instead of the honest ones. With false the honest ones are sent. It is
	// called from one goroutine for each connection. io.EOF as error ends the connection.
	Answer func(q *Request, w io.Writer) (answered bool, err error)
	// Greeting, if not nil, is sent in place of the greeting.
	Greeting []byte

	mu    sync.Mutex // guards what follows
	asked map[string]int
	total map[byte]int
	conns int
}

// Connections returns how many connections there have been.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// Asked returns how many requests of a kind there have been.
func (s *Server) Asked(kind byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total[kind]
}

// Serve answers on a connection until it ends.
func (s *Server) Serve(conn io.ReadWriteCloser) {
	defer conn.Close()
	s.mu.Lock()
	s.conns++
	if s.asked == nil {
		s.asked, s.total = map[string]int{}, map[byte]int{}
	}
	s.mu.Unlock()
	c := &session{s: s, handles: map[string]string{}, listed: map[string]bool{}}
	r, w := bufio.NewReader(conn), conn
	for {
		q, err := read(r)
		if err != nil {
			return
		}
		if c.serve(q, w) != nil {
			return
		}
	}
}

type session struct {
	s       *Server
	handles map[string]string // to paths
	listed  map[string]bool   // handles whose names were sent
}

func (c *session) serve(q *Request, w io.Writer) error {
	if q.Kind == Init {
		greeting := c.s.Greeting
		if greeting == nil {
			greeting = New(Version, 3, Text("limits@openssh.com"), Text("1"), Text("statvfs@openssh.com"), Text("2"), Text("users-groups-by-id@openssh.com"), Text("1"))
		}
		_, err := w.Write(greeting)
		return err
	}
	if p, ok := c.handles[q.Text]; ok && (q.Kind == Read || q.Kind == Readdir || q.Kind == Fstat || q.Kind == Close) {
		q.Path = p
	}
	c.s.mu.Lock()
	key := strconv.Itoa(int(q.Kind)) + q.Path
	q.Nth = c.s.asked[key]
	c.s.asked[key]++
	c.s.total[q.Kind]++
	c.s.mu.Unlock()
	if c.s.Answer != nil {
		if answered, err := c.s.Answer(q, w); answered || err != nil {
			return err
		}
	}
	_, err := w.Write(c.honest(q))
	return err
}

// honest returns the answer of an honest server.
func (c *session) honest(q *Request) Packet {
	f, exists := c.s.Tree.look(q.Path)
	switch q.Kind {
	case Close:
		return StatusOf(q.ID, OK)
	case Realpath:
		return Names(q.ID, Entry{Name: q.Path})
	case Extended:
		return c.extended(q)
	}
	if !exists {
		return StatusOf(q.ID, NoSuchFile)
	}
	switch q.Kind {
	case Stat, Lstat, Fstat:
		return New(Attrs, q.ID, f.Encode())
	case Opendir, Open:
		if isDir := f.Mode&0o170000 == 0o040000; isDir != (q.Kind == Opendir) {
			return StatusOf(q.ID, Failure)
		}
		h := fmt.Sprint(len(c.handles))
		c.handles[h] = q.Path
		return New(Handle, q.ID, Text(h))
	case Readdir:
		if c.listed[q.Text] {
			return StatusOf(q.ID, EOF)
		}
		c.listed[q.Text] = true
		return Names(q.ID, c.s.Tree.list(q.Path)...)
	case Read:
		if q.Offset >= uint64(len(f.Data)) {
			return StatusOf(q.ID, EOF)
		}
		data := f.Data[q.Offset:]
		return New(Data, q.ID, Text(data[:min(len(data), int(q.Length))]))
	case Readlink:
		return Names(q.ID, Entry{Name: f.Data})
	}
	return StatusOf(q.ID, Unsupported)
}

func (c *session) extended(q *Request) Packet {
	switch q.Text {
	case "limits@openssh.com":
		return New(ExtendedReply, q.ID, U64(256<<10), U64(255<<10), U64(255<<10), U64(100))
	case "users-groups-by-id@openssh.com":
		return New(ExtendedReply, q.ID, Text(string(Text("user"))), Text(string(Text("group"))))
	case "statvfs@openssh.com":
		return New(ExtendedReply, q.ID, make([]byte, 11*8))
	}
	return StatusOf(q.ID, Unsupported)
}

func (t Tree) look(p string) (File, bool) {
	if f, ok := t[p]; ok {
		if f.Mode&0o170000 == 0o100000 && f.Size == 0 {
			f.Size = uint64(len(f.Data))
		}
		return f, true
	}
	for name := range t {
		if p == "/" || strings.HasPrefix(name, p+"/") {
			return File{Mode: 0o040755}, true
		}
	}
	return File{}, false
}

func (t Tree) list(dir string) []Entry {
	found := map[string]bool{}
	for name := range t {
		if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			found[first] = true
		}
	}
	entries := []Entry{{".", File{Mode: 0o040755}}, {"..", File{Mode: 0o040755}}}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		f, _ := t.look(path.Join(dir, name))
		entries = append(entries, Entry{name, f})
	}
	return entries
}
