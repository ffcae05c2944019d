package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// TestRacerCannotLeadAnAgentOut swaps folders and files below a root with links that lead out of it, while a server that
// is in league with the racer asks for all it can name: listings, contents, chunks and hashes.
func TestRacerCannotLeadAnAgentOut(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	build(t, outside, "file=secret-bytes", "sub/file=secret-bytes", "sub/hidden-name=secret-bytes", "hidden-name=secret-bytes")
	build(t, root, "dir-a/file=open", "dir-a/sub/file=open", "file-a=open", "deep/dir-a/sub/file=open",
		"dir-b->"+outside, "file-b->"+outside+"/file", "deep/dir-b->"+outside)
	var stop atomic.Bool
	var swaps atomic.Int64
	var wg sync.WaitGroup
	for _, pair := range []string{"dir", "file", "deep/dir"} {
		wg.Go(func() {
			a, b := filepath.Join(root, pair+"-a"), filepath.Join(root, pair+"-b")
			for !stop.Load() {
				if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
					swaps.Add(1)
				}
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	paths := []string{"", "dir-a", "dir-b", "deep/dir-a", "deep/dir-b", "dir-a/sub", "dir-b/sub", "deep/dir-a/sub", "deep/dir-b/sub"}
	var opened, sessions int
	// Roots below the folders that are swapped are reached on a way that the racer owns.
	asked := [][]string{{root}, {root + "/dir-a/sub", root + "/deep/dir-a/sub"}, {root + "/dir-b/sub", root + "/deep/dir-b", root + "/file-a"}}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end) || sessions < 2*len(asked) || opened == 0 || swaps.Load() == 0; sessions++ {
		c, _ := start(t, &Policy{Roots: []string{root}})
		c.hello()
		if _, err := c.begin(protocol.BeginRequest{Roots: asked[sessions%len(asked)]}); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			opened += c.grab(root, paths)
		}
		c.w.Close()
	}
	t.Logf("%d sessions, %d answers with content, %d swaps", sessions, opened, swaps.Load())
}

// grab asks for everything below the folders, and fails the test if something of outside comes. It returns how many answers
// held content.
func (c *client) grab(root string, paths []string) (opened int) {
	c.t.Helper()
	var dirs []protocol.DirQuestion
	var files []protocol.FileQuestion
	var hashes []string
	last := ""
	for _, p := range paths {
		dirs = append(dirs, protocol.DirQuestion{Path: rel(root, p)})
		for _, name := range []string{"file", "file-a", "file-b", "hidden-name"} {
			path := rel(root, p, name)
			files = append(files, protocol.FileQuestion{Path: path, Most: 100, Send: true})
			hashes = append(hashes, path)
			last = path
		}
	}
	secret := blake3.Sum256([]byte("secret-bytes"))
	for kind, m := range map[protocol.Type]message{
		protocol.List: &protocol.ListRequest{Dirs: dirs}, protocol.Read: &protocol.ReadRequest{Files: files}, protocol.Hash: &protocol.HashRequest{Paths: hashes},
		protocol.Fetch: &protocol.FetchRequest{Path: last, Pieces: []protocol.Piece{{Offset: 0, Length: 12}}},
	} {
		b, _ := c.ask(kind, m) // what is refused brings nothing
		if bytes.Contains(b, []byte("secret-bytes")) || bytes.Contains(b, secret[:]) {
			c.t.Fatalf("question %d: bytes from outside came", kind)
		}
		if kind == protocol.List {
			c.listsNothingHidden(b)
		}
		opened += bytes.Count(b, []byte("open"))
	}
	return opened
}

// listsNothingHidden looks for a name of outside among the entries. Errors may quote what was asked for.
func (c *client) listsNothingHidden(payload []byte) {
	c.t.Helper()
	err := protocol.ParseDirAnswers(payload, func(a *protocol.DirAnswer) error {
		for i := range a.Entries {
			if a.Entries[i].Name == "hidden-name" {
				c.t.Fatal("a folder outside was listed")
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestFolderThatBecameALinkIsNotFollowed swaps once, between the listing and the reading.
func TestFolderThatBecameALinkIsNotFollowed(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	build(t, outside, "file=secret")
	build(t, root, "dir/file=open", "file=open")
	c, _ := start(t, &Policy{Roots: []string{root}})
	c.hello()
	if bad, err := c.begin(protocol.BeginRequest{Roots: []string{root}}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	if _, err := c.list(rel(root)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir", "file"} {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	build(t, root, "dir->"+outside, "file->"+outside+"/file")
	for path, code := range map[string]protocol.Code{"dir/file": protocol.CodeReplaced, "file": protocol.CodeReplaced, "none": protocol.CodeNotExist} {
		if content, err := c.read(rel(root, path)); codeOf(err) != code || len(content) > 0 {
			t.Errorf("%q: %q, %v, want code %d", path, content, err, code)
		}
	}
	if names, err := c.list(rel(root, "dir")); codeOf(err) != protocol.CodeReplaced || len(names) > 0 {
		t.Errorf("the link was listed: %v, %v", names, err)
	}
}
