package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/nss"
	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// backupFlags are the flags of backup.
type backupFlags struct {
	what                                 whatFlags
	tags                                 []string
	host, source, time, parent           string
	force, dryRun, skipUnchanged, noScan bool
	allowEmpty                           bool
	readers                              int
}

func (f *backupFlags) register(fs *pflag.FlagSet) {
	f.what.register(fs)
	fs.StringArrayVar(&f.tags, "tag", nil, "`tag[,tag...]` of the snapshot (repeatable)")
	fs.StringVarP(&f.host, "host", "H", "", "`name` of the host in the snapshot (default: this one's; SNAP_HOST)")
	fs.StringVar(&f.source, "source", "", "`name` of the history that the snapshot belongs to (default: host and paths)")
	fs.StringVar(&f.time, "time", "", "`time` of the snapshot, as 2006-01-02 15:04:05 (default: now)")
	fs.StringVar(&f.parent, "parent", "", "`snapshot` to compare with (default: the last one of the same source)")
	fs.BoolVarP(&f.force, "force", "f", false, "read all files again, even unchanged ones")
	fs.BoolVarP(&f.dryRun, "dry-run", "n", false, "read everything, write nothing")
	fs.BoolVar(&f.skipUnchanged, "skip-if-unchanged", false, "make no snapshot if nothing changed")
	fs.BoolVar(&f.allowEmpty, "allow-empty", false, "make a snapshot even if no file is found or could be read")
	fs.IntVar(&f.readers, "read-concurrency", 0, "read `n` large files at a time (default 2; SNAP_READ_CONCURRENCY)")
	fs.BoolVar(&f.noScan, "no-scan", false, "accepted for scripts: nothing is counted in advance")
	fs.Lookup("no-scan").Hidden = true
}

func (a *app) backupCommand() *cobra.Command {
	var f backupFlags
	c := &cobra.Command{
		Use:     "backup [FLAGS] PATH... | --stdin | --stdin-from-command -- COMMAND",
		GroupID: "make",
		Short:   "Save files and folders as a snapshot",
		Long: `Save files and folders, or the output of commands, as one snapshot.

Where neither --repo, SNAP_REPOSITORY nor a configuration says where the repository is,
the first backup makes an encrypted one in your data folder, with a key in your
configuration folder, and says where both are. Later ones use it.

Files that cannot be read are named, and the snapshot is marked partial (exit
code 3). A path that does not exist fails the backup. One that finds no file where
the one before had some is marked suspicious (exit code 23), unless --allow-empty is
given. If a backup is interrupted, what it has written is used by the next one.

A path that is given is saved itself whatever pattern, size or marker would leave it out;
what lies in it is left out as elsewhere. A path that is a link is saved as a link. Links on
the way to a path are followed, so that they come back as folders.

Patterns leave out files and folders, and all that lies in these folders:

  *.tmp          this name in any folder: * stands for any characters but a slash, ? for
                 one, [a-z] for one of these
  cache/tmp      what is named tmp in a folder that is named cache
  /srv/**/cache  this whole path: ** stands for any folders between, also for none
  !keep.tmp      takes back what a pattern before it has left out; the last that fits counts.
                 A folder that is left out is not looked into

In a file of patterns each has a line. $NAME and ${NAME} are variables of the environment,
$$ is a dollar, and lines that begin with # are comments.`,
		Example: `  snap backup ~/Documents
  snap backup /etc /home --exclude '*.tmp' --exclude-caches --tag daily
  snap backup --dry-run -vv ~/Documents
  pg_dump shop | snap backup --stdin --stdin-filename shop.sql
  snap backup --stdin-filename shop.sql --stdin-from-command -- pg_dump shop
  snap backup /srv/shop --stream 'shop.sql=pg_dump shop'`,
		Annotations: safe("no snapshot was made, earlier ones are intact"),
		RunE:        func(c *cobra.Command, args []string) error { return a.backup(c.Context(), args, &f) },
	}
	f.register(c.Flags())
	return c
}

func (a *app) backup(ctx context.Context, args []string, f *backupFlags) error {
	src, err := a.source(args, &f.what)
	if err != nil {
		return err
	}
	o, err := a.backupOptions(src, f)
	if err != nil {
		return err
	}
	at, err := a.place()
	if err != nil {
		return err
	}
	if at.isDefault && !f.dryRun && f.parent == "" {
		if err := a.ensureDefault(ctx, at, src); err != nil {
			return err
		}
	}
	if src.begin != nil {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		src.begin(ctx)
	}
	return a.withRepoAt(ctx, at, func(r *repo.Repo) error {
		if f.parent != "" {
			if o.Parent, err = r.Find(ctx, f.parent, repo.Filter{}); err != nil {
				return fmt.Errorf("--parent: %w", err)
			}
		}
		return a.runBackup(ctx, r, o, f)
	})
}

func (a *app) backupOptions(src *sourceChoice, f *backupFlags) (repo.BackupOptions, error) {
	o := repo.BackupOptions{Source: src.source, Paths: src.paths, Excludes: src.excludes, Parts: src.parts,
		Host: f.host, SourceName: f.source, Program: "snap " + version, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
		Force: f.force, DryRun: f.dryRun, SkipIfUnchanged: f.skipUnchanged, AllowEmpty: f.allowEmpty, Readers: f.readers, User: nss.Current()}
	for _, list := range f.tags {
		o.Tags = append(o.Tags, splitTags(list)...)
	}
	var err error
	if o.Host == "" {
		o.Host, err = a.hostName()
	}
	if o.SourceName == "" {
		o.SourceName = sourceName(o.Host, o.Paths)
	}
	if err == nil && f.time != "" {
		o.Time, err = parseTime(f.time)
	}
	if v := a.getenv("SNAP_READ_CONCURRENCY"); err == nil && o.Readers == 0 && v != "" {
		if o.Readers, err = strconv.Atoi(v); err != nil {
			err = usageError("SNAP_READ_CONCURRENCY: %q is no number", v)
		}
	}
	if err == nil && (o.Readers < 0 || o.Readers > 256) {
		err = usageError("--read-concurrency: %d is outside 1 to 256", o.Readers)
	}
	return o, err
}

func (a *app) hostName() (string, error) {
	if h := a.getenv("SNAP_HOST"); h != "" {
		return h, nil
	}
	return os.Hostname()
}

// sourceName is the name of a source that was given none.
func sourceName(host string, paths []string) string { return host + ":" + strings.Join(paths, ",") }

// runBackup runs a backup and prints what it does.
func (a *app) runBackup(ctx context.Context, r *repo.Repo, o repo.BackupOptions, f *backupFlags) error {
	p := &repo.Progress{}
	o.Progress = p
	if a.global.verbose > 0 {
		o.Item = a.backupItem
	}
	o.Problem = a.backupProblem
	emptied := false
	o.Check = func(s, previous *repo.Snapshot) error {
		emptied = !f.allowEmpty && isEmptied(s, previous)
		if emptied {
			s.Marks, s.Why = append(s.Marks, snapshot.MarkSuspicious), "no file was found, where the snapshots before have some"
		}
		return nil
	}
	total := estimate{repo: r, source: o.SourceName}
	stop := a.watch(func() progress.State { return total.add(ctx, backupState(p)) }, func(s progress.State) any { return newStatus(s) })
	result, err := r.Backup(ctx, o)
	stop()
	if err != nil {
		return err
	}
	if result.Snapshot != nil && !f.dryRun {
		a.safe = "snapshot " + shortID(result.Snapshot) + " was made"
	}
	if a.global.json {
		err = a.jsonLine(newBackupSummary(result, f.dryRun))
	} else {
		a.backupSummary(result, f.dryRun)
	}
	if err == nil && result.Snapshot != nil {
		err = a.lockSnapshots(ctx, r, []repo.SnapshotID{result.Snapshot.ID})
	}
	if err == nil && emptied {
		a.safe = "" // the message says what was made
		return fail(exitRootMissing, "no file was found, where the snapshots before have some; the snapshot is marked suspicious, and nothing of this source is forgotten by rule until a good one is made").
			withHint("check the path; is the disk mounted? if there shall be none: --allow-empty")
	}
	if err == nil && result.Partial {
		return fmt.Errorf("%w: %s could not be read; the snapshot holds the rest", errPartial, term.Count(result.Summary.Unreadable, "file or folder"))
	}
	return err
}

// isEmptied reports whether a snapshot has no file while those before it have: a disk may not be mounted.
func isEmptied(s, previous *repo.Snapshot) bool {
	if s.Summary == nil || s.Summary.Files > 0 || previous == nil || previous.Summary == nil {
		return false
	}
	return previous.Summary.Files > 0 || previous.HasMark(snapshot.MarkSuspicious)
}

// absolute returns paths as absolute ones.
func absolute(paths []string) ([]string, error) {
	out := make([]string, len(paths))
	for i, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		out[i] = abs
	}
	return out, nil
}
