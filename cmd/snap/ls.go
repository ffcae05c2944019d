package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type lsFlags struct {
	sel             selection
	long, recursive bool
}

func (a *app) lsCommand() *cobra.Command {
	var f lsFlags
	c := &cobra.Command{
		Use:     "ls SNAPSHOT[:FOLDER] [PATH...]",
		GroupID: "read",
		Short:   "List the files of a snapshot",
		Long: `List the files of a snapshot: all of them, or those of a folder.

Names that hold control characters or are not UTF-8 are printed in quotes with
escapes.`,
		Example: `  snap ls latest
  snap ls -l latest:/etc
  snap ls --recursive latest /etc/nginx /etc/ssl
  snap ls --json 2f9a`,
		Args:        between(1, -1, "a snapshot"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.ls(c.Context(), r, args, &f) })
		},
	}
	c.Flags().BoolVarP(&f.long, "long", "l", false, "print type, permissions, owner, size and time too")
	c.Flags().BoolVar(&f.recursive, "recursive", false, "list what lies in folders below PATH too")
	f.sel.register(c.Flags())
	return c
}

func (a *app) ls(ctx context.Context, r *repo.Repo, args []string, f *lsFlags) error {
	word, path := splitPath(args[0])
	s, err := r.Find(ctx, word, f.sel.filter())
	if err != nil {
		return err
	}
	paths := args[1:]
	if path != "" {
		paths = append([]string{path}, paths...)
	}
	l := listing{app: a, long: f.long}
	if isReduced(s) {
		a.notef("pulled by %s, with %s", s.Origin.Transport, reducedText)
	}
	if a.global.json {
		if err := a.jsonLine(lsHead{"snapshot", "snapshot", newSnapshotJSON(s)}); err != nil {
			return err
		}
	}
	if len(paths) == 0 {
		return l.finish(l.walk(ctx, r, s, "", true))
	}
	for _, p := range paths {
		if err := l.path(ctx, r, s, p, f.recursive); err != nil {
			return err
		}
	}
	return l.finish(nil)
}

type lsHead struct {
	MessageType string `json:"message_type"`
	StructType  string `json:"struct_type"`
	snapshotJSON
}

// listing prints entries and counts those with marks.
type listing struct {
	app    *app
	long   bool
	marked int64
}

// path lists what a folder holds, or one file.
func (l *listing) path(ctx context.Context, r *repo.Repo, s *repo.Snapshot, path string, recursive bool) error {
	x, err := lookup(ctx, r, s, path)
	if err != nil {
		return err
	}
	clean := strings.Trim(path, "/")
	if x.Kind != tree.Directory {
		return l.print("/"+clean, x)
	}
	if clean != "" {
		if err := l.print("/"+clean, x); err != nil {
			return err
		}
	}
	return l.walk(ctx, r, s, clean, recursive)
}

func (l *listing) walk(ctx context.Context, r *repo.Repo, s *repo.Snapshot, dir string, recursive bool) error {
	if !recursive {
		found, err := r.ReadListing(ctx, s, dir)
		if err != nil {
			return err
		}
		return l.all(found)
	}
	return r.WalkListings(ctx, s, dir, l.all)
}

func (l *listing) all(found repo.Listing) error {
	if found.Unreadable {
		l.app.warn(fmt.Sprintf("%s: the folder could not be read when it was backed up", term.Name("/"+found.Dir)))
	}
	for i := range found.Entries {
		if err := l.print(below(found.Dir, found.Entries[i].Name), &found.Entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) print(path string, x *repo.Entry) error {
	if len(marks(x)) > 0 {
		l.marked++
	}
	if l.app.global.json {
		n := newNode(path, x)
		n.MessageType, n.StructType = "node", "node"
		return l.app.jsonLine(n)
	}
	line := term.Name(path)
	if l.long {
		line = longLine(path, x)
	}
	_, err := l.app.out.WriteString(line + "\n")
	return err
}

// finish tells of marks that a short listing does not show.
func (l *listing) finish(err error) error {
	if err == nil && l.marked > 0 && !l.long {
		l.app.notef("%s changed while being read or could not be read; ls -l tells which", term.Count(l.marked, "file"))
	}
	return err
}
