package source_test

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/iofs"
	"github.com/snapkeep/snap/internal/source/stream"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo/sourcetest"
)

func TestMergeConformance(t *testing.T) {
	sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
		parts := [3]fstest.MapFS{{}, {}, {}}
		for name, f := range files {
			if strings.Contains(name, "\xff") {
				continue
			}
			file := &fstest.MapFile{Data: []byte(f.Content), Mode: f.Mode}
			if f.Mode.IsDir() {
				parts[0][name], parts[2][name] = file, file
			} else {
				parts[len(name)%3][name] = file
			}
		}
		// A folder that only holds what is deeper has no mode of its own.
		for name, f := range files {
			if f.Mode.IsDir() {
				parts[1][name] = &fstest.MapFile{Mode: f.Mode}
			}
		}
		var sources []source.Source
		for _, p := range parts {
			sources = append(sources, iofs.New(p))
		}
		return sourcetest.Built{Source: source.Merge(sources...), TextNames: true}
	})
}

func TestMergeStreamsIntoATree(t *testing.T) {
	streams, err := stream.New(stream.FromReader("dump", strings.NewReader("data")))
	if err != nil {
		t.Fatal(err)
	}
	s := source.Merge(iofs.New(fstest.MapFS{"home/file": {}, "a": {}}), streams)
	d, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	stats, problems, err := d.List(t.Context())
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	var names []string
	for _, st := range stats {
		names = append(names, st.Name)
	}
	if !slices.Equal(names, []string{"a", "dump", "home"}) {
		t.Errorf("got %q", names)
	}
	f, err := d.Open(t.Context(), &stats[1])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Next()
	if b, err := io.ReadAll(f); err != nil || string(b) != "data" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestMergeConflicts(t *testing.T) {
	one := iofs.New(fstest.MapFS{"a": {}, "d/x": {}})
	for _, other := range []fstest.MapFS{{"a": {}}, {"a/b": {}}, {"d": {}}} {
		d, err := source.Merge(one, iofs.New(other)).Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.List(t.Context()); !errors.Is(err, source.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		d.Close()
	}
}

func TestMergeRootMissing(t *testing.T) {
	good := iofs.New(fstest.MapFS{})
	s := source.Merge(good, iofs.New(fstest.MapFS{".": {Mode: 0o600}}))
	if _, err := s.Root(t.Context()); !errors.Is(err, source.ErrRootMissing) {
		t.Errorf("got %v, want ErrRootMissing", err)
	}
	d, err := source.Merge(good, good).Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(t.Context(), &tree.Stat{Name: "x"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
}
