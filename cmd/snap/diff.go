package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type diffFlags struct {
	sel               selection
	metadata, content bool
}

func (a *app) diffCommand() *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use:     "diff SNAPSHOT[:PATH] SNAPSHOT [PATH]",
		GroupID: "read",
		Short:   "Show what differs between two snapshots",
		Long: `Show what differs between two snapshots, in all of them or below a folder.

In front of each path stands what happened to it:
  +  it was added
  -  it was removed
  M  its content changed
  U  its metadata changed (with --metadata)
  T  its type changed, for instance from file to link

With --content the lines that differ follow for text files, as a unified diff.`,
		Example: `  snap diff latest~1 latest
  snap diff --content latest~7 latest /etc
  snap diff --metadata 2026-01-31 latest:/srv/www`,
		Args:        between(2, 3, "two snapshots and at most one path"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.diff(c.Context(), r, args, &f) })
		},
	}
	c.Flags().BoolVar(&f.metadata, "metadata", false, "show changes of owner, permissions, times and attributes too")
	c.Flags().BoolVar(&f.content, "content", false, "show the lines of text files that differ")
	f.sel.register(c.Flags())
	return c
}

func (a *app) diff(ctx context.Context, r *repo.Repo, args []string, f *diffFlags) error {
	path, err := diffPath(args)
	if err != nil {
		return err
	}
	var both [2]*repo.Snapshot
	for i, word := range args[:2] {
		word, _ := splitPath(word)
		if both[i], err = r.Find(ctx, word, f.sel.filter()); err != nil {
			return err
		}
	}
	d := differ{app: a, repo: r, content: f.content}
	stats, err := r.Diff(ctx, both[0], both[1], repo.DiffOptions{Path: path, Metadata: f.metadata}, func(c repo.Change) error {
		return d.change(ctx, c)
	})
	if err != nil {
		return err
	}
	return a.diffEnd(both, stats)
}

// diffPath returns the folder to compare, which may stand in three places.
func diffPath(args []string) (string, error) {
	path := ""
	for i, arg := range args {
		p := arg
		if i < 2 {
			_, p = splitPath(arg)
		}
		p = strings.Trim(p, "/")
		if p != "" && path != "" && p != path {
			return "", usageError("%q and %q: want one path", path, p)
		}
		if p != "" {
			path = p
		}
	}
	return path, nil
}

var modifiers = map[repo.ChangeKind]string{repo.Added: "+", repo.Removed: "-", repo.Modified: "M", repo.Metadata: "U", repo.Retyped: "T"}

type changeJSON struct {
	MessageType string   `json:"message_type"`
	Path        string   `json:"path"`
	PathB64     string   `json:"path_b64,omitempty"`
	Modifier    string   `json:"modifier"`
	Metadata    []string `json:"metadata,omitempty"`
	Diff        string   `json:"diff,omitempty"`
}

// differ prints changes.
type differ struct {
	app     *app
	repo    *repo.Repo
	content bool
}

func (d *differ) change(ctx context.Context, c repo.Change) error {
	path := "/" + c.Path
	var details []string
	if c.A != nil && c.B != nil {
		details = metadataChanges(c.A, c.B)
	}
	var text string
	if d.content {
		var err error
		if text, err = d.contentDiff(ctx, path, c); err != nil {
			return err
		}
	}
	if d.app.global.json {
		return d.app.jsonLine(changeJSON{"change", path, rawName(path), modifiers[c.Kind], details, text})
	}
	line := modifiers[c.Kind] + "    " + term.Name(path)
	if c.Kind == repo.Metadata {
		line += " (" + strings.Join(details, ", ") + ")"
	}
	d.app.printf("%s", line)
	if text != "" {
		d.app.printf("%s", d.app.coloured(strings.TrimSuffix(text, "\n")))
	}
	return nil
}

// metadataChanges says what besides content differs.
func metadataChanges(a, b *repo.Entry) (out []string) {
	if a.Mode != b.Mode {
		out = append(out, fmt.Sprintf("mode %04o to %04o", a.Mode, b.Mode))
	}
	if a.UID != b.UID || a.User != b.User {
		out = append(out, "owner "+owner(a.User, a.UID)+" to "+owner(b.User, b.UID))
	}
	if a.GID != b.GID || a.Group != b.Group {
		out = append(out, "group "+owner(a.Group, a.GID)+" to "+owner(b.Group, b.GID))
	}
	if a.ModTime != b.ModTime {
		out = append(out, "time "+a.ModTime.Std().Local().Format(time.DateTime)+" to "+b.ModTime.Std().Local().Format(time.DateTime))
	}
	if a.Flags != b.Flags {
		out = append(out, fmt.Sprintf("flags %#x to %#x", a.Flags, b.Flags))
	}
	if !slices.Equal(a.Xattrs, b.Xattrs) {
		out = append(out, "extended attributes")
	}
	return out
}

type diffCountJSON struct {
	Files  int64 `json:"files"`
	Dirs   int64 `json:"dirs"`
	Others int64 `json:"others"`
	Bytes  int64 `json:"bytes"`
}

type diffStatsJSON struct {
	MessageType     string        `json:"message_type"`
	Source          string        `json:"source_snapshot"`
	Target          string        `json:"target_snapshot"`
	ChangedFiles    int64         `json:"changed_files"`
	MetadataChanged int64         `json:"metadata_changed"`
	Added           diffCountJSON `json:"added"`
	Removed         diffCountJSON `json:"removed"`
}

func (a *app) diffEnd(both [2]*repo.Snapshot, s repo.DiffStats) error {
	count := func(c repo.DiffCount) diffCountJSON { return diffCountJSON{c.Files, c.Dirs, c.Others, c.Bytes} }
	if a.global.json {
		return a.jsonLine(diffStatsJSON{"statistics", both[0].ID.String(), both[1].ID.String(), s.Modified, s.MetadataOnly, count(s.Added), count(s.Removed)})
	}
	if a.global.quiet {
		return nil
	}
	a.printf("")
	a.printf("files:  %5d new, %5d removed, %5d changed", s.Added.Files, s.Removed.Files, s.Modified)
	a.printf("dirs:   %5d new, %5d removed", s.Added.Dirs, s.Removed.Dirs)
	a.printf("others: %5d new, %5d removed", s.Added.Others, s.Removed.Others)
	a.printf("added %s, removed %s", term.Size(s.Added.Bytes), term.Size(s.Removed.Bytes))
	return nil
}
