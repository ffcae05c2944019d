package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type dumpFlags struct {
	sel             selection
	archive, target string
}

func (a *app) dumpCommand() *cobra.Command {
	var f dumpFlags
	c := &cobra.Command{
		Use:     "dump SNAPSHOT[:PATH] [PATH]",
		GroupID: "read",
		Short:   "Write a file, or a folder as an archive, to standard output",
		Long: `Write a file of a snapshot to standard output or --target, or a folder as a tar or
zip archive. Names in the archive are relative to the folder. What could not be read
when it was backed up is named, and left out of the archive (exit code 3). Named is also
each file whose time many programs cannot read in a zip archive: those of before 1970, and
of 2100 and later.

The file of --target has its name when it is complete.`,
		Example: `  snap dump latest /etc/passwd
  snap dump latest:/srv/shop.sql | psql shop
  snap dump latest /etc | tar -x -C /tmp/etc
  snap dump --archive zip --target /tmp/photos.zip latest ~/Photos`,
		Args:        between(1, 2, "a snapshot and a path"),
		Annotations: safe("nothing in the repository was changed, but what was written so far is not whole"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.dump(c.Context(), r, args, &f) })
		},
	}
	c.Flags().StringVarP(&f.archive, "archive", "a", "tar", "`kind` of archive for a folder: tar or zip")
	c.Flags().StringVarP(&f.target, "target", "t", "", "`file` to write instead of standard output")
	f.sel.register(c.Flags())
	return c
}

func (a *app) dump(ctx context.Context, r *repo.Repo, args []string, f *dumpFlags) error {
	word, path := splitPath(args[0])
	if len(args) == 2 {
		if path != "" {
			return usageError("%q and %q: want one path", path, args[1])
		}
		path = args[1]
	}
	if f.archive != "tar" && f.archive != "zip" {
		return usageError("--archive: %q is not tar or zip", f.archive)
	}
	s, err := r.Find(ctx, word, f.sel.filter())
	if err != nil {
		return err
	}
	x, err := lookup(ctx, r, s, path)
	if err != nil {
		return err
	}
	var left leftOut
	if f.target == "" {
		left, err = a.dumpTo(ctx, r, s, path, x, f.archive, a.out)
	} else {
		err = writeWhole(f.target, func(w io.Writer) error {
			left, err = a.dumpTo(ctx, r, s, path, x, f.archive, w)
			return err
		})
	}
	if err != nil {
		return err
	}
	return left.err()
}

func (a *app) dumpTo(ctx context.Context, r *repo.Repo, s *repo.Snapshot, path string, x *repo.Entry, kind string, w io.Writer) (left leftOut, err error) {
	if err := r.WarmUp(ctx, s, path); err != nil {
		return left, err
	}
	switch {
	case x.Kind == tree.Regular:
		return left, copyContent(ctx, r, x, w)
	case x.Kind != tree.Directory:
		return left, usageError("%q is a %s: it has no content", path, kindName(x.Kind)).withHint("dump the folder that it lies in")
	}
	if w == a.out && terminal(a.stdout) {
		return left, usageError("an archive is not for a terminal").withHint("give a file with --target, or a program behind |")
	}
	dir := strings.Trim(path, "/")
	if kind == "zip" {
		return a.writeZip(ctx, r, s, dir, w)
	}
	return a.writeTar(ctx, r, s, dir, w)
}

func copyContent(ctx context.Context, r *repo.Repo, x *repo.Entry, w io.Writer) error {
	f, err := r.OpenEntry(ctx, x)
	if err != nil {
		return err
	}
	_, err = f.WriteTo(w)
	return err
}

// writeWhole makes a file of what fn writes. It has its name when it is complete and durable: the steps are write and sync under another name, link, sync
// the folder. A file that exists is not touched.
func writeWhole(name string, fn func(io.Writer) error) error {
	if _, err := os.Lstat(name); err == nil {
		return existsError(name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".snap-dump-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriterSize(f, 1<<20)
	if err = fn(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := giveName(f.Name(), name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// giveName gives a file another name, which nothing may have.
func giveName(from, name string) error {
	err := os.Link(from, name)
	if err == nil {
		return nil
	}
	if _, statErr := os.Lstat(name); statErr == nil {
		return existsError(name)
	}
	if errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(from, name) // this file system knows no hard links
}

func existsError(name string) error {
	return usageError("%q exists", name).withHint("choose another name, or remove the file first")
}
