package repo

import (
	"context"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
)

// decaying is a source whose files change while their stats do not: stats are those of was.
type decaying struct{ was, is files }

func (d decaying) Root(context.Context) (Dir, error) {
	return decayingDir{memDir{d.was, ""}, d.is}, nil
}

type decayingDir struct {
	memDir
	is files
}

func (d decayingDir) OpenDir(ctx context.Context, st *tree.Stat) (Dir, error) {
	return decayingDir{memDir{d.files, path.Join(d.path, st.Name)}, d.is}, nil
}

func (d decayingDir) Open(ctx context.Context, st *tree.Stat) (File, error) {
	return memDir{d.is, d.path}.Open(ctx, st)
}

func TestRereadFindsWhatChangedSilently(t *testing.T) {
	r := newTestRepo(t, mem.New(nil), Options{})
	was := randomFiles(5, 40, 3000)
	was["dir0/large"] = strings.Repeat("a large file of several chunks, or of one\n", 50_000)
	if _, err := r.Backup(t.Context(), BackupOptions{Source: was, SourceName: "s", Host: "h"}); err != nil {
		t.Fatal(err)
	}
	is := files{}
	for name, data := range was {
		is[name] = data
	}
	want := []string{"dir0/large", "dir1/file009", "dir3/file030"}
	for _, name := range want {
		b := []byte(is[name])
		b[len(b)/2] ^= 4
		is[name] = string(b)
	}
	for _, c := range []struct {
		name   string
		reread func(string) bool
		want   []string
		read   int
	}{
		{"none is read", nil, nil, 0},
		{"all are read", func(string) bool { return true }, want, len(was)},
		{"some are read", func(name string) bool { return strings.HasPrefix(name, "dir1/") }, want[1:2], 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			var silent []string
			read := 0
			result, err := r.Backup(t.Context(), BackupOptions{Source: decaying{was, is}, SourceName: "s", Host: "h", DryRun: true, Reread: c.reread, Item: func(i Item) {
				switch i.Action {
				case ItemSilent:
					silent = append(silent, i.Path)
					read++
				case ItemReread:
					read++
				case ItemNew, ItemModified:
					t.Errorf("%s: %s", i.Path, i.Action)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(silent)
			if !slices.Equal(silent, c.want) || read != c.read {
				t.Errorf("%d files read, %q changed silently, want %d and %q", read, silent, c.read, c.want)
			}
			if result.Snapshot != nil || result.Summary.FilesChanged != int64(len(c.want)) {
				t.Errorf("%+v", result)
			}
		})
	}
}
