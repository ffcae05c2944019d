package agent_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/tree"
)

// FuzzAnswers takes any bytes for an agent's answers to list, read and fetch. What comes of them ends, and what the source hands
// on keeps the rules of a source: names that are valid and rise, regions that follow each other within the file.
func FuzzAnswers(f *testing.F) {
	st := tree.Stat{Name: "a", Kind: tree.Regular, Links: 1, Inode: 7, Size: 5}
	big := st
	big.Name, big.Size = "b", 3<<20
	listing := protocol.AppendDirAnswer(nil, &protocol.DirAnswer{Status: protocol.DirLast, Entries: []tree.Entry{{Stat: st}, {Stat: big}, {Stat: tree.Stat{Name: "d", Kind: tree.Directory}}}})
	var content []byte
	for _, it := range []protocol.Item{{Kind: protocol.ItemBegin, Entry: tree.Entry{Stat: st}}, {Kind: protocol.ItemChunk, Data: []byte("12345")}, {Kind: protocol.ItemEnd, Entry: tree.Entry{Stat: st}, Whole: true}} {
		content = protocol.AppendItem(content, &it)
	}
	f.Add(listing, content)
	f.Add([]byte{byte(protocol.DirSame)}, []byte{0, byte(protocol.ItemFailed), 2, 0})
	f.Add(listing[:len(listing)-1], content[:len(content)-1])
	f.Fuzz(func(t *testing.T, listing, content []byte) {
		synctest.Test(t, func(t *testing.T) { anyAnswers(t, listing, content) })
	})
}

func anyAnswers(t *testing.T, listing, content []byte) {
	dials := 0
	o := agent.Options{Roots: []string{"/srv"}, Redials: -1, Limits: agent.Limits{Idle: 10 * time.Second, Stall: 10 * time.Second, Directory: 1000}}
	o.Files, o.Database = params(t)
	s := agent.New(scripted(t, &dials, func(q protocol.Frame) (protocol.Type, []byte) {
		switch q.Type {
		case protocol.List:
			return q.Type | protocol.Answer, listing
		case protocol.Read, protocol.Fetch:
			return q.Type | protocol.Answer, content
		}
		return polite(q)
	}), o)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	root, err := s.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stats, _, err := root.List(ctx)
	if ctx.Err() != nil {
		t.Fatal("the listing does not end")
	}
	if err != nil {
		return
	}
	last := ""
	for i := range stats {
		if !tree.ValidName(stats[i].Name) || stats[i].Name <= last {
			t.Fatalf("%q behind %q", stats[i].Name, last)
		}
		last = stats[i].Name
		if stats[i].Kind == tree.Regular && i < 3 {
			drain(ctx, t, root, &stats[i])
		}
	}
}

// drain reads a file as the engine does.
func drain(ctx context.Context, t *testing.T, d source.Dir, st *tree.Stat) {
	t.Helper()
	x, err := d.Open(ctx, st)
	if err != nil {
		return
	}
	defer x.Close()
	var e tree.Entry
	d.Describe(ctx, st, &e, x)
	for end, count := int64(0), 0; count < 100; count++ { // an agent may tell of holes without end
		region, err := x.Next()
		if errors.Is(err, io.EOF) {
			x.Stat()
			return
		}
		if err != nil {
			return
		}
		if region.Offset < end || region.Length < 1 {
			t.Fatalf("region of %d bytes at %d, behind %d", region.Length, region.Offset, end)
		}
		end = region.Offset + region.Length
		if region.Hole {
			continue
		}
		if n, err := io.Copy(io.Discard, x); n != region.Length || err != nil {
			t.Fatalf("%d bytes of a region of %d, %v", n, region.Length, err)
		}
	}
}
