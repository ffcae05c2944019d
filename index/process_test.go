package index

import (
	"os"
	"os/exec"
	"testing"
)

// processFolder is the environment variable by which a test tells its child the folder of the
// cache.
const processFolder = "SNAP_INDEX_TEST_FOLDER"

// TestProcessesShareAFolder has several processes bring in a growing repository at once.
func TestProcessesShareAFolder(t *testing.T) {
	if dir := os.Getenv(processFolder); dir != "" {
		useFolder(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	var children []*exec.Cmd
	for range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestProcessesShareAFolder$")
		child.Env = append(os.Environ(), processFolder+"="+dir)
		child.Stdout, child.Stderr = t.Output(), t.Output()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, child)
	}
	for _, child := range children {
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
	g := generator{rows: processRounds * processRows}
	c := OpenCache(dir)
	defer c.Close()
	if _, err := c.Sync(t.Context(), g.list, g.load); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir)
	if n := c.Set().Len(); n != g.rows {
		t.Errorf("%d rows, want %d", n, g.rows)
	}
}

const (
	processRounds = 4
	processRows   = generatedChunks * generatedPacks // an index file
)

func useFolder(t *testing.T, dir string) {
	for round := range processRounds {
		g := generator{rows: (round + 1) * processRows}
		c := OpenCache(dir)
		if _, err := c.Sync(t.Context(), g.list, g.load); err != nil {
			t.Fatal(err)
		}
		if n := c.Set().Len(); n != g.rows {
			t.Fatalf("%d rows, want %d", n, g.rows)
		}
		for i := 0; i < g.rows; i += 997 {
			if l, ok := c.Set().Lookup(g.chunk(i)); !ok || l.Pack != g.pack(i/generatedChunks).ID {
				t.Fatalf("chunk %d: %v, %v", i, l, ok)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
