package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type mountFlags struct {
	sel        selection
	allowOther bool
}

func (a *app) mountCommand() *cobra.Command {
	var f mountFlags
	c := &cobra.Command{
		Use:     "mount FOLDER",
		GroupID: "read",
		Short:   "Show all snapshots as folders",
		Long: `Show all snapshots as folders, read only, until the folder is unmounted or this
program is interrupted. Needs FUSE.

  paths/home/ann/2026-03-01T12:00:00/   what was saved from /home/ann, by time
  snapshots/2026-03-01T12:00:00/        all of a snapshot, by time
  ids/2f9a61c0/                         the same, by id
  hosts/web1/..., tags/daily/...        the same, by host and by tag
  latest/                               the newest snapshot

New snapshots show up within a minute.

Where packs lie in an archive, --warm-up names the command that brings them: it runs when
a file is opened, which waits for it, for the packs of that file. To bring those of a whole
folder at once, use snap restore. Without the command such a file cannot be read, and a
line on standard error says so.`,
		Example: `  mkdir /tmp/backups && snap mount /tmp/backups
  snap mount --host web1 /tmp/backups
  cp -a /tmp/backups/latest/home/ann/report.odt ~`,
		Args:        between(1, 1, "one folder"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.mount(c.Context(), r, args[0], &f) })
		},
	}
	c.Flags().BoolVar(&f.allowOther, "allow-other", false, "let other users in, as far as the permissions of the files allow")
	f.sel.register(c.Flags())
	return c
}

// mount serves the repository until the folder is unmounted or the context ends.
func (a *app) mount(ctx context.Context, r *repo.Repo, folder string, f *mountFlags) error {
	if info, err := os.Stat(folder); err != nil {
		return usageError("%v", err).withHint("make the folder first: mkdir " + term.Name(folder))
	} else if !info.IsDir() {
		return usageError("%q is no folder", folder)
	}
	// The context of the files outlives an interrupt until nobody uses them any more.
	m := &mounted{app: a, repo: r, ctx: context.WithoutCancel(ctx), filter: f.sel.filter()}
	m.listings.load = func(s *repo.Snapshot, dir string) (repo.Listing, error) { return r.ReadListing(m.ctx, s, dir) }
	if err := m.refresh(); err != nil {
		return err
	}
	short := time.Second
	server, err := fs.Mount(folder, &virtualNode{m: m}, &fs.Options{
		EntryTimeout: &short, AttrTimeout: &short, NullPermissions: true,
		Logger: log.New(&lineWriter{app: a}, "", 0),
		MountOptions: fuse.MountOptions{FsName: "snap", Name: "snap", Options: []string{"ro", "default_permissions"},
			AllowOther: f.allowOther, Logger: log.New(&lineWriter{app: a}, "", 0)},
	})
	if err != nil {
		return fmt.Errorf("mount %s: %w", term.Name(folder), err)
	}
	a.printf("serving snapshots in %s; to end: Ctrl-C, or fusermount3 -u %s", term.Name(folder), term.Name(folder))
	if err := a.out.Flush(); err != nil {
		return errors.Join(err, server.Unmount())
	}
	return serve(ctx, server, folder)
}

// serve returns when the file system is unmounted. When the context ends it
// unmounts it, as soon as nobody uses it.
func serve(ctx context.Context, server *fuse.Server, folder string) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	if err := server.Unmount(); err != nil {
		return fmt.Errorf("unmount: %w: somebody still uses the folder; end that, then run fusermount3 -u %s", err, term.Name(folder))
	}
	<-done
	return nil
}
