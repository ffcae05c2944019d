package sourcetest_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/iofs"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo/sourcetest"
)

// flawVariable tells a child process which flaw its source shall have.
const flawVariable = "SNAP_SOURCETEST_FLAW"

// flaws breaks the contract in one way each, and names the test that must see it.
var flaws = map[string]struct {
	test string
	list func(stats []tree.Stat) []tree.Stat
	open func(f source.File) source.File
}{
	"loses modes": {"tree", func(stats []tree.Stat) []tree.Stat { return setModes(stats, 0o644) }, nil},
	"lists itself": {"tree", func(stats []tree.Stat) []tree.Stat {
		return append([]tree.Stat{{Name: ".", Kind: tree.Directory}}, stats...)
	}, nil},
	"loses an entry":  {"tree", func(stats []tree.Stat) []tree.Stat { return stats[:len(stats)-min(1, len(stats))] }, nil},
	"lists one twice": {"tree", func(stats []tree.Stat) []tree.Stat { return append(stats, stats[max(0, len(stats)-1):]...) }, nil},
	"ends early":      {"tree", nil, func(f source.File) source.File { return endingEarly{f} }},
	"never the same":  {"tree", nil, func(f source.File) source.File { return &changing{File: f} }},
	"a hole of data":  {"regions", nil, func(f source.File) source.File { return holes{f} }},
}

func setModes(stats []tree.Stat, mode uint16) []tree.Stat {
	for i := range stats {
		stats[i].Mode = mode
	}
	return stats
}

// flawed is a source with a flaw, and flawedDir a folder of it.
type flawed struct {
	source.Source
	flaw string
}

func (s flawed) Root(ctx context.Context) (source.Dir, error) {
	d, err := s.Source.Root(ctx)
	return flawedDir{d, s.flaw}, err
}

type flawedDir struct {
	source.Dir
	flaw string
}

func (d flawedDir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	stats, problems, err := d.Dir.List(ctx)
	if f := flaws[d.flaw].list; f != nil {
		stats = f(stats)
	}
	return stats, problems, err
}

func (d flawedDir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	sub, err := d.Dir.OpenDir(ctx, st)
	if err != nil {
		return nil, err
	}
	return flawedDir{sub, d.flaw}, nil
}

func (d flawedDir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	f, err := d.Dir.Open(ctx, st)
	if open := flaws[d.flaw].open; err == nil && open != nil {
		return open(f), nil
	}
	return f, err
}

// endingEarly shows regions that are longer than their data.
type endingEarly struct{ source.File }

func (f endingEarly) Next() (source.Region, error) {
	r, err := f.File.Next()
	if err == nil {
		r.Length++
	}
	return r, err
}

// changing seems to be another file at each look.
type changing struct {
	source.File
	looks uint64
}

func (f *changing) Stat() (tree.Stat, error) {
	st, err := f.File.Stat()
	f.looks++
	st.Inode = f.looks
	return st, err
}

// holes takes data for holes.
type holes struct{ source.File }

func (f holes) Next() (source.Region, error) {
	r, err := f.File.Next()
	r.Hole = err == nil
	return r, err
}

// TestFlawed runs the suite on a source, in a child process on one with a flaw.
func TestFlawed(t *testing.T) {
	flaw := os.Getenv(flawVariable)
	sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
		m := fstest.MapFS{}
		for name, f := range files {
			if fs.ValidPath(name) {
				m[name] = &fstest.MapFile{Mode: f.Mode, Data: []byte(f.Content)}
			}
		}
		return sourcetest.Built{Source: flawed{iofs.New(m), flaw}, TextNames: true}
	})
}

// TestSuiteSeesFlaws checks that the suite fails for each flaw, in the test that is there for it.
func TestSuiteSeesFlaws(t *testing.T) {
	t.Parallel()
	for name, flaw := range flaws {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFlawed$/^"+flaw.test+"$", "-test.v")
			child.Env = append(os.Environ(), flawVariable+"="+name)
			output, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(output), "--- FAIL: TestFlawed/"+flaw.test+" ") {
				t.Errorf("the test %s passed: %v\n%s", flaw.test, err, output)
			}
		})
	}
}
