package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

func backupState(p *repo.Progress) progress.State {
	s := progress.State{Done: p.Bytes.Load(), Files: p.Files.Load(), Problems: p.Problems.Load()}
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
	var attribute *repo.AttributeError
	if errors.As(err, &attribute) {
		return fmt.Sprintf("%s: %s: %v", term.Name(path), strings.TrimSpace(string(attribute.Attribute)+" "+term.Name(attribute.Name)), attribute.Err)
	}
	if errors.As(err, &reason) && !errors.Is(err, repo.ErrHeld) {
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
	if i.Action == repo.ItemReread {
		i.Action = repo.ItemUnchanged // which it is
	}
	if i.Action == repo.ItemUnchanged && a.global.verbose < 2 {
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
