package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) historyCommand() *cobra.Command {
	var sel selection
	all := false
	c := &cobra.Command{
		Use:     "history PATH",
		GroupID: "read",
		Short:   "List the versions of one file or folder",
		Long: `List the versions of one path, oldest first, each with the first snapshot that
has it. For a folder that is when the folder itself changed: its owner,
permissions and time.`,
		Example: `  snap history /etc/nginx/nginx.conf
  snap history ~/report.odt
  snap history --json --host web1 /etc/passwd`,
		Args:        between(1, 1, "one path"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.history(c.Context(), r, args[0], sel.filter(), all) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list every snapshot, also those where nothing changed")
	sel.register(c.Flags())
	return c
}

// pathVersion is the state of a path in a snapshot.
type pathVersion struct {
	snapshot *repo.Snapshot
	entry    *repo.Entry // nil if the snapshot does not have the path
	change   string
}

type versionJSON struct {
	Snapshot string    `json:"snapshot"`
	ShortID  string    `json:"short_id"`
	Time     time.Time `json:"time"`
	Change   string    `json:"change"`
	Node     *nodeJSON `json:"node,omitempty"`
}

func (a *app) history(ctx context.Context, r *repo.Repo, path string, f repo.Filter, every bool) error {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	snapshots, err := a.list(ctx, r, f)
	if err != nil {
		return err
	}
	versions, err := versionsOf(ctx, r, snapshots, path)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(versions, func(v pathVersion) bool { return v.entry != nil }) {
		return fail(exitNoSnapshot, "no snapshot has %s", term.Name(path)).withHint("search by name: snap find " + term.Name(filepath.Base(path)))
	}
	if !every {
		versions = slices.DeleteFunc(versions, func(v pathVersion) bool { return v.change == "" })
	}
	if a.global.json {
		return a.historyJSON(versions, path)
	}
	table := term.NewTable("Time", "Snapshot", "Change", ">Size", "Modified")
	for _, v := range versions {
		size, modified := "", ""
		if v.entry != nil {
			modified = v.entry.ModTime.Std().Local().Format(time.DateTime)
		}
		if v.entry != nil && v.entry.Kind == tree.Regular {
			size = term.Size(v.entry.Size)
		}
		table.Row(v.snapshot.Time.Local().Format(time.DateTime), shortID(v.snapshot), v.change, size, modified)
	}
	return table.Write(a.out)
}

func (a *app) historyJSON(versions []pathVersion, path string) error {
	list := make([]versionJSON, 0, len(versions))
	for _, v := range versions {
		j := versionJSON{Snapshot: v.snapshot.ID.String(), ShortID: shortID(v.snapshot), Time: v.snapshot.Time, Change: v.change}
		if v.entry != nil {
			n := newNode(path, v.entry)
			j.Node = &n
		}
		list = append(list, j)
	}
	return a.jsonLine(list)
}

// versionsOf looks a path up in all snapshots that could have it, and names what changed from one
// to the next.
func versionsOf(ctx context.Context, r *repo.Repo, snapshots []*repo.Snapshot, path string) ([]pathVersion, error) {
	var versions []pathVersion
	var before *repo.Entry
	for _, s := range snapshots {
		x, err := r.Lookup(ctx, s, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if x == nil && !covers(s, path) {
			continue // it was not asked for
		}
		versions = append(versions, pathVersion{s, x, changeBetween(before, x)})
		before = x
	}
	return versions, nil
}

// covers reports whether a snapshot would have the path if it had existed.
func covers(s *repo.Snapshot, path string) bool {
	for _, p := range s.Paths {
		root := strings.TrimSuffix(string(p), "/")
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

func changeBetween(a, b *repo.Entry) string {
	switch {
	case a == nil && b == nil:
		return ""
	case a == nil:
		return "new"
	case b == nil:
		return "removed"
	case a.Kind != b.Kind:
		return "type"
	case a.Size != b.Size && b.Kind == tree.Regular, a.Target != b.Target, a.Rdev != b.Rdev, !slices.Equal(a.Parts, b.Parts):
		return "content"
	case len(metadataChanges(a, b)) > 0:
		return "metadata"
	}
	return ""
}
