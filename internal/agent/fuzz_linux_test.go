package agent

import (
	"bytes"
	"io"
	"testing"

	"github.com/snapkeep/snap/internal/protocol"
)

// conversation returns the frames of questions.
func conversation(t testing.TB, dir string) []byte {
	files, database := params(t)
	var b bytes.Buffer
	w := protocol.NewWriter(&b)
	for i, q := range []struct {
		kind protocol.Type
		m    message
	}{
		{protocol.Hello, &protocol.HelloRequest{Version: 1}},
		{protocol.Begin, &protocol.BeginRequest{Roots: []string{dir}, Excludes: []string{"*.o"}, Files: files, Database: database}},
		{protocol.List, &protocol.ListRequest{Dirs: []protocol.DirQuestion{{}, {Path: rel(dir)}}}},
		{protocol.Read, &protocol.ReadRequest{Files: []protocol.FileQuestion{{Path: rel(dir, "file"), Most: 100, Send: true}}}},
		{protocol.Fetch, &protocol.FetchRequest{Path: rel(dir, "file"), Pieces: []protocol.Piece{{Offset: 0, Length: 4}}}},
		{protocol.Hash, &protocol.HashRequest{Paths: []string{rel(dir, "file")}}},
		{protocol.StreamStart, &protocol.StreamStartRequest{Name: "s"}},
		{protocol.StreamNext, &protocol.StreamNextRequest{Handle: 1, Most: 5}},
		{protocol.StreamStop, &protocol.StreamHandle{Handle: 1}},
		{protocol.Inventory, raw(nil)},
		{protocol.Ping, raw(nil)},
	} {
		if err := w.Write(protocol.Frame{ID: uint32(i), Type: q.kind, Payload: q.m.Append(nil)}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// FuzzSession takes any bytes for what a server sends: the session ends with them, and what it answered is frames.
func FuzzSession(f *testing.F) {
	dir := f.TempDir()
	build(f, dir, "file=content", "sub/file=content")
	whole := conversation(f, dir)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(append(bytes.Clone(whole[:20]), whole...))
	p := &Policy{Roots: []string{dir}, Streams: map[string]Stream{"s": {Command: []string{"true"}}}}
	if err := p.Check(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		Serve(t.Context(), bytes.NewReader(b), &out, Options{Policy: p, Program: "test"}) // that the connection was bad is no matter
		answers := protocol.NewReader(&out, protocol.MaxPayload)
		for {
			a, err := answers.Read()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.Type == protocol.Failed {
				if _, err := protocol.ParseError(a.Payload); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
