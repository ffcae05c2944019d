package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
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
	fs.BoolVar(&f.allowEmpty, "allow-empty", false, "make a snapshot even if no file could be read")
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

Without --repo and SNAP_REPOSITORY the first backup makes an encrypted
repository in your data folder, with a key in your configuration folder, and
says where both are. Later ones use it.

Files that cannot be read are named, and the snapshot is marked partial (exit
code 3). A path that does not exist fails the backup. If a backup is interrupted,
what it has written is used by the next one.`,
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
	if at.isDefault && !f.dryRun {
		if err := a.ensureDefault(ctx, at); err != nil {
			return err
		}
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
		Force: f.force, DryRun: f.dryRun, SkipIfUnchanged: f.skipUnchanged, AllowEmpty: f.allowEmpty, Readers: f.readers}
	for _, list := range f.tags {
		o.Tags = append(o.Tags, splitTags(list)...)
	}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
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
	total := estimate{repo: r, source: o.SourceName}
	stop := a.watch(func() progress.State { return total.add(ctx, backupState(p)) }, func(s progress.State) any { return newStatus(s) })
	result, err := r.Backup(ctx, o)
	stop()
	if err != nil {
		return err
	}
	if a.global.json {
		err = a.jsonLine(newBackupSummary(result, f.dryRun))
	} else {
		a.backupSummary(result, f.dryRun)
	}
	if err == nil && result.Partial {
		return fmt.Errorf("%w: %s could not be read; the snapshot holds the rest", errPartial, term.Count(result.Summary.Unreadable, "file or folder"))
	}
	return err
}

func backupState(p *repo.Progress) progress.State {
	s := progress.State{Done: p.Bytes.Load(), Files: max(0, p.Files.Load()-p.Dirs.Load()), Problems: p.Problems.Load()}
	if current := p.Current.Load(); current != nil {
		s.Current = "/" + *current
	}
	return s
}

// estimate knows from the last snapshot of a source about how much a backup will read. It looks only
// when progress is shown for the first time: short runs do without.
type estimate struct {
	repo         *repo.Repo
	source       string
	known        bool
	files, bytes int64
}

// add fills the totals in. It is called from one goroutine.
func (e *estimate) add(ctx context.Context, s progress.State) progress.State {
	if !e.known {
		e.known = true
		before, _ := e.repo.Snapshots(ctx, repo.Filter{Sources: []string{e.source}}) // at worst there is no estimate
		if len(before) > 0 && before[len(before)-1].Summary != nil {
			last := before[len(before)-1].Summary
			e.files, e.bytes = last.Files, last.Bytes
		}
	}
	if e.bytes >= s.Done {
		s.Total, s.TotalIsOnlyAnEstimate = e.bytes, true
		if e.files >= s.Files {
			s.TotalFiles = e.files
		}
	}
	return s
}

// backupProblem tells of a file that could not be read, or changed while it was.
func (a *app) backupProblem(p repo.Problem) {
	during := "read"
	if p.Changed {
		during = "changed"
	}
	if a.global.json {
		a.jsonTo(a.stderr, newErrorMessage("/"+p.Path, during, p.Err))
		return
	}
	a.warn(problemText("/"+p.Path, p.Err))
}

// problemText names the file and the reason, without saying the path twice.
func problemText(path string, err error) string {
	var reason syscall.Errno
	if errors.As(err, &reason) {
		err = reason
	}
	return fmt.Sprintf("%s: %v", term.Name(path), err)
}

// errorMessage tells of a problem with one file in JSON.
type errorMessage struct {
	MessageType string `json:"message_type"`
	Error       struct {
		Message string `json:"message"`
	} `json:"error"`
	During  string `json:"during"`
	Item    string `json:"item"`
	ItemB64 string `json:"item_b64,omitempty"`
}

func newErrorMessage(path, during string, err error) errorMessage {
	m := errorMessage{MessageType: "error", During: during, Item: path, ItemB64: rawName(path)}
	m.Error.Message = err.Error()
	return m
}

type verboseStatus struct {
	MessageType string `json:"message_type"`
	Action      string `json:"action"`
	Item        string `json:"item"`
	ItemB64     string `json:"item_b64,omitempty"`
	DataSize    int64  `json:"data_size"`
}

// backupItem tells of a file that was saved.
func (a *app) backupItem(i repo.Item) {
	if i.Action == "unchanged" && a.global.verbose < 2 {
		return
	}
	path, size := "/"+i.Path, int64(0)
	if i.Kind == tree.Regular {
		size = i.Size
	}
	if a.global.json {
		a.jsonLine(verboseStatus{"verbose_status", string(i.Action), path, rawName(path), size})
		return
	}
	line := fmt.Sprintf("%-9s %s", i.Action, term.Name(path))
	if i.Kind == tree.Regular {
		line += ", " + term.Size(size)
	}
	a.printf("%s", line)
}

type backupSummary struct {
	MessageType      string    `json:"message_type"`
	DryRun           bool      `json:"dry_run,omitempty"`
	FilesNew         int64     `json:"files_new"`
	FilesChanged     int64     `json:"files_changed"`
	FilesUnmodified  int64     `json:"files_unmodified"`
	DirsNew          int64     `json:"dirs_new"`
	DirsChanged      int64     `json:"dirs_changed"`
	DirsUnmodified   int64     `json:"dirs_unmodified"`
	DataBlobs        int64     `json:"data_blobs"`
	TreeBlobs        int64     `json:"tree_blobs"`
	DataAdded        int64     `json:"data_added"`
	DataAddedPacked  int64     `json:"data_added_packed"`
	TotalFiles       int64     `json:"total_files_processed"`
	TotalBytes       int64     `json:"total_bytes_processed"`
	TotalDuration    float64   `json:"total_duration"`
	BackupStart      time.Time `json:"backup_start"`
	BackupEnd        time.Time `json:"backup_end"`
	FilesUnreadable  int64     `json:"files_unreadable"`
	ChangedWhileRead int64     `json:"files_changed_while_read"`
	SnapshotID       string    `json:"snapshot_id,omitempty"`
	ParentID         string    `json:"parent,omitempty"`
}

func newBackupSummary(r *repo.BackupResult, dryRun bool) backupSummary {
	s := r.Summary
	end := time.Now()
	m := backupSummary{MessageType: "summary", DryRun: dryRun, FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
		DirsNew: s.DirsNew, DirsChanged: s.DirsChanged, DirsUnmodified: s.DirsUnmodified, DataBlobs: s.DataChunks, TreeBlobs: s.TreeChunks,
		DataAdded: s.DataAdded, DataAddedPacked: s.DataAddedPacked, TotalFiles: s.Files, TotalBytes: s.Bytes,
		TotalDuration: r.Duration.Seconds(), BackupStart: end.Add(-r.Duration), BackupEnd: end,
		FilesUnreadable: s.Unreadable, ChangedWhileRead: s.ChangedWhenRead}
	if r.Snapshot != nil {
		m.SnapshotID = r.Snapshot.ID.String()
	}
	if r.Parent != nil {
		m.ParentID = r.Parent.ID.String()
	}
	return m
}

// backupSummary prints what a backup did: on a terminal, or with -v, over several lines, and in one
// line into a pipe or log.
func (a *app) backupSummary(r *repo.BackupResult, dryRun bool) {
	facts := backupFacts(r, dryRun)
	switch {
	case a.global.quiet:
		a.printf("%s", backupOutcome(r, dryRun))
	case terminal(a.stdout) || a.global.verbose > 0:
		for _, f := range facts {
			a.printf("%s", f)
		}
		a.printf("%s", backupOutcome(r, dryRun))
	default:
		a.printf("%s: %s", backupOutcome(r, dryRun), strings.Join(facts, "; "))
	}
}

func backupOutcome(r *repo.BackupResult, dryRun bool) string {
	switch {
	case dryRun:
		return "dry run: no snapshot was made"
	case r.Snapshot == nil:
		return "nothing changed: no snapshot was made"
	}
	return "snapshot " + shortID(r.Snapshot) + " saved"
}

// backupFacts says what a backup found.
func backupFacts(r *repo.BackupResult, dryRun bool) []string {
	s := r.Summary
	added := "added"
	if dryRun {
		added = "would add"
	}
	facts := []string{
		fmt.Sprintf("files: %d new, %d changed, %d unmodified", s.FilesNew, s.FilesChanged, s.FilesUnmodified),
		fmt.Sprintf("dirs: %d new, %d changed, %d unmodified", s.DirsNew, s.DirsChanged, s.DirsUnmodified),
		fmt.Sprintf("%s %s, %s stored", added, term.Size(s.DataAdded), term.Size(s.DataAddedPacked)),
		fmt.Sprintf("processed %s, %s in %s", term.Count(s.Files, "file"), term.Size(s.Bytes), term.Duration(r.Duration)),
	}
	if r.Parent != nil {
		facts = append([]string{fmt.Sprintf("compared with snapshot %s of %s", shortID(r.Parent), r.Parent.Time.Local().Format(time.DateTime))}, facts...)
	}
	if s.ChangedWhenRead > 0 {
		facts = append(facts, term.Count(s.ChangedWhenRead, "file")+" changed while being read; snap ls -l marks them")
	}
	return facts
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
