package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type restoreFlags struct {
	sel                                                          selection
	target, overwrite                                            string
	includes, iincludes, includeFiles, iincludeFiles             []string
	excludes, iexcludes, excludeFiles, iexcludeFiles             []string
	delete, dryRun, verify, sparse, noOwner, noXattrs, sync, yes bool
}

func (f *restoreFlags) register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.target, "target", "t", "", "`folder` to restore to; it is made if need be")
	fs.StringArrayVarP(&f.includes, "include", "i", nil, "restore only what matches the `pattern` (repeatable)")
	fs.StringArrayVar(&f.iincludes, "iinclude", nil, "as --include, upper and lower case of the `pattern` alike (repeatable)")
	fs.StringArrayVar(&f.includeFiles, "include-file", nil, "read patterns of --include from a `file` (repeatable)")
	fs.StringArrayVar(&f.iincludeFiles, "iinclude-file", nil, "as --include-file, upper and lower case of the patterns in the `file` alike (repeatable)")
	fs.StringArrayVarP(&f.excludes, "exclude", "e", nil, "leave out what matches the `pattern` (repeatable)")
	fs.StringArrayVar(&f.iexcludes, "iexclude", nil, "as --exclude, upper and lower case of the `pattern` alike (repeatable)")
	fs.StringArrayVar(&f.excludeFiles, "exclude-file", nil, "read patterns of --exclude from a `file` (repeatable)")
	fs.StringArrayVar(&f.iexcludeFiles, "iexclude-file", nil, "as --exclude-file, upper and lower case of the patterns in the `file` alike (repeatable)")
	fs.StringVar(&f.overwrite, "overwrite", "if-changed", "`when` to replace files that exist: always, if-changed, if-newer or never")
	fs.BoolVar(&f.delete, "delete", false, "remove from folders that are restored as a whole what the snapshot does not have there; with --include or --exclude, others stay as they are")
	fs.BoolVarP(&f.dryRun, "dry-run", "n", false, "write nothing, tell what would be done")
	fs.BoolVar(&f.verify, "verify", false, "read all files again and compare them")
	fs.BoolVar(&f.sparse, "sparse", true, "restore holes in files as holes")
	fs.BoolVar(&f.noOwner, "no-owner", false, "leave the files to whoever runs the restore")
	fs.BoolVar(&f.noXattrs, "no-xattrs", false, "restore no extended attributes and ACLs")
	fs.BoolVar(&f.sync, "sync", false, "wait until the file system has stored what was restored")
	fs.BoolVar(&f.yes, "yes", false, "allow to restore into /")
	f.sel.register(fs)
}

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	c := &cobra.Command{
		Use:     "restore SNAPSHOT[:PATH] --target FOLDER",
		GroupID: "read",
		Short:   "Get files back",
		Long: `Get the files of a snapshot back, or a folder or file of it.

All of a snapshot comes back with its paths below the target: /etc/hosts as
FOLDER/etc/hosts. What a folder named by PATH holds comes directly into the target.

Patterns of --include and --exclude are those of snap backup, compared with the paths that
snap ls shows.

Files that exist are replaced if they differ in size or time; see --overwrite.
Nothing is deleted without --delete. With it, what a backup left out goes as well, but not
what is mounted on a folder that is empty in the snapshot. Every attribute that could not be set is named
(exit code 3), and so is each file whose name the target takes for that of another file
because it knows no difference between upper and lower case: the first one stays. What is
immutable or append-only in the target (lsattr) stays as it is and is named, unless the
snapshot has it so too.

As after any copy, the system stores what was restored within the next minute; with --sync
the restore waits for that. If the power failed before, repeat the restore with
--overwrite always: files of the right size and time may not hold what they should. A restore
that was killed may leave files named .snap-restore-... behind, which the next one to the
same folder removes.`,
		Example: `  snap restore latest --target /tmp/restored
  snap restore latest:/home/ann/Documents --target ~/Documents
  snap restore 2026-03-01 --target /tmp/x --include '*.conf' --dry-run -v
  snap restore latest --target / --include /etc --yes`,
		Args:        between(1, 1, "one snapshot"),
		Annotations: safe("the repository is unchanged, and what was restored so far stays"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.restore(c.Context(), r, args[0], &f) })
		},
	}
	f.register(c.Flags())
	return c
}

func (a *app) restore(ctx context.Context, r *repo.Repo, arg string, f *restoreFlags) error {
	o, err := a.restoreOptions(f)
	if err != nil {
		return err
	}
	word, path := splitPath(arg)
	s, err := r.Find(ctx, word, f.sel.filter())
	if err != nil {
		return err
	}
	if path != "" {
		if _, err := lookup(ctx, r, s, path); err != nil {
			return err
		}
		o.Path = path
	}
	inPlace, err := isTop(f.target)
	if err != nil {
		return err
	}
	if inPlace && !f.yes && !f.dryRun {
		return a.restorePlan(ctx, r, s, o)
	}
	return a.runRestore(ctx, r, s, o)
}

func (a *app) restoreOptions(f *restoreFlags) (repo.RestoreOptions, error) {
	o := repo.RestoreOptions{Target: f.target, Delete: f.delete, DryRun: f.dryRun, Verify: f.verify,
		NoSparse: !f.sparse, NoOwner: f.noOwner, NoXattrs: f.noXattrs, Sync: f.sync}
	if f.target == "" {
		return o, usageError("no folder to restore to").withHint("usage: snap restore SNAPSHOT --target FOLDER")
	}
	var err error
	if o.Overwrite, err = repo.ParseOverwrite(f.overwrite); err != nil {
		return o, usageError("--%v", err)
	}
	if o.Include, _, err = a.lists("include", f.includes, f.includeFiles, f.iincludes, f.iincludeFiles); err != nil {
		return o, err
	}
	if len(o.Include) == 0 && len(f.includes)+len(f.iincludes)+len(f.includeFiles)+len(f.iincludeFiles) > 0 {
		return o, usageError("--include: there is no pattern in it").withHint("to restore everything, leave it out")
	}
	o.Exclude, _, err = a.lists("exclude", f.excludes, f.excludeFiles, f.iexcludes, f.iexcludeFiles)
	return o, err
}

// isTop reports whether a folder is "/", by whatever name.
func isTop(folder string) (bool, error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return false, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	return abs == "/", nil
}

// restorePlan tells what a restore into / would do, and does not do it.
func (a *app) restorePlan(ctx context.Context, r *repo.Repo, s *repo.Snapshot, o repo.RestoreOptions) error {
	o.DryRun = true
	if err := a.runRestore(ctx, r, s, o); err != nil {
		return err
	}
	return usageError("restoring into / changes the running system; this was a dry run").withHint("look at it with --dry-run -v, then add --yes")
}

// restoring is what is shown and counted while a restore runs.
type restoring struct {
	app     *app
	dryRun  bool
	damaged atomic.Bool

	archived atomic.Bool // something could not be read for that
}

func (a *app) runRestore(ctx context.Context, r *repo.Repo, s *repo.Snapshot, o repo.RestoreOptions) error {
	p, run := &repo.RestoreProgress{}, &restoring{app: a, dryRun: o.DryRun}
	o.Progress, o.Problem = p, run.problem
	if a.global.verbose > 0 {
		o.Item = run.item
	}
	begin := time.Now()
	stop := a.watch(func() progress.State { return restoreState(p) }, func(s progress.State) any { return newStatus(s) })
	result, err := r.Restore(ctx, s, o)
	stop()
	if err != nil {
		return err
	}
	return run.end(s, o.Target, result, time.Since(begin))
}

func restoreState(p *repo.RestoreProgress) progress.State {
	return progress.State{Done: p.Bytes.Load() + p.SkippedBytes.Load(), Total: p.TotalBytes.Load(),
		Files: p.Files.Load() + p.Skipped.Load(), TotalFiles: p.TotalFiles.Load(), Problems: p.Failed.Load() + p.Attributes.Load()}
}

func (r *restoring) problem(path string, err error) {
	if repo.IsDamage(err) {
		r.damaged.Store(true)
	}
	if errors.Is(err, repo.ErrArchived) {
		r.archived.Store(true)
	}
	if r.app.global.json {
		r.app.jsonTo(r.app.stderr, newErrorMessage("/"+path, "restore", err))
		return
	}
	r.app.warn(problemText("/"+path, err))
}

type restoreStatus struct {
	MessageType string `json:"message_type"`
	Action      string `json:"action"`
	Item        string `json:"item"`
	ItemB64     string `json:"item_b64,omitempty"`
	Size        int64  `json:"size"`
}

func (r *restoring) item(i repo.RestoreItem) {
	if i.Action == repo.ActionUnchanged && r.app.global.verbose < 2 {
		return
	}
	path := "/" + i.Path
	if r.app.global.json {
		r.app.jsonLine(restoreStatus{"verbose_status", string(i.Action), path, rawName(path), i.Size})
		return
	}
	line := fmt.Sprintf("%-9s %s", i.Action, term.Name(path))
	if i.Kind == tree.Regular {
		line += ", " + term.Size(i.Size)
	}
	r.app.printf("%s", line)
}

type restoreSummary struct {
	MessageType      string `json:"message_type"`
	DryRun           bool   `json:"dry_run,omitempty"`
	SecondsElapsed   int64  `json:"seconds_elapsed"`
	TotalFiles       int64  `json:"total_files"`
	FilesRestored    int64  `json:"files_restored"`
	FilesSkipped     int64  `json:"files_skipped"`
	FilesDeleted     int64  `json:"files_deleted"`
	FilesFailed      int64  `json:"files_failed"`
	AttributesFailed int64  `json:"attributes_failed"`
	Dirs             int64  `json:"dirs"`
	Others           int64  `json:"others"`
	TotalBytes       int64  `json:"total_bytes"`
	BytesRestored    int64  `json:"bytes_restored"`
	BytesSkipped     int64  `json:"bytes_skipped"`
	BytesVerified    int64  `json:"bytes_verified,omitempty"`
	LeftoversRemoved int64  `json:"leftovers_removed,omitempty"`
}

// end prints what a restore did and returns an error if something is missing.
func (r *restoring) end(s *repo.Snapshot, target string, n *repo.RestoreResult, took time.Duration) error {
	var err error
	if r.app.global.json {
		err = r.app.jsonLine(restoreSummary{"summary", r.dryRun, int64(took.Seconds()), n.Files + n.Skipped, n.Files, n.Skipped, n.Deleted, n.Failed,
			n.Attributes, n.Dirs, n.Other, n.Bytes + n.SkippedBytes, n.Bytes, n.SkippedBytes, n.Verified, n.Leftovers})
	} else {
		r.print(s, target, n, took)
	}
	switch {
	case err != nil:
		return err
	case r.damaged.Load():
		return fail(exitDamage, "%s could not be restored because the repository is damaged; the rest was", term.Count(n.Failed, "file")).
			withHint("see how much is affected: snap check --read-data")
	case n.Failed > 0 && r.archived.Load():
		return fail(exitPartial, "%w: %s could not be restored", errPartial, term.Count(n.Failed, "file")).withHint(archivedHint)
	case n.Failed > 0:
		return fmt.Errorf("%w: %s could not be restored", errPartial, term.Count(n.Failed, "file"))
	case n.Attributes > 0:
		return fmt.Errorf("%w: %s could not be set", errPartial, term.Count(n.Attributes, "attribute"))
	}
	return nil
}

func (r *restoring) print(s *repo.Snapshot, target string, n *repo.RestoreResult, took time.Duration) {
	did := "restored"
	if r.dryRun {
		did = "would restore"
	}
	if !r.app.global.quiet {
		r.app.printf("%s %s, %s, %s, %s in %s", did, term.Count(n.Files, "file"), term.Count(n.Dirs, "folder"),
			term.Count(n.Other, "other"), term.Size(n.Bytes), term.Duration(took))
		if n.Skipped > 0 {
			r.app.printf("left %s as they were, %s", term.Count(n.Skipped, "file"), term.Size(n.SkippedBytes))
		}
		if n.Deleted > 0 {
			r.app.printf("deleted %d that the snapshot does not have", n.Deleted)
		}
		if n.Leftovers > 0 {
			r.app.printf("removed %s that a restore which was killed had not completed", term.Count(n.Leftovers, "file"))
		}
		if n.Verified > 0 {
			r.app.printf("read %s again to compare", term.Size(n.Verified))
		}
	}
	if r.dryRun {
		r.app.printf("dry run: nothing was written")
		return
	}
	r.app.printf("snapshot %s of %s is in %s", shortID(s), s.Time.Local().Format(time.DateTime), term.Name(target))
}
