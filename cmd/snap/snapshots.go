package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) snapshotsCommand() *cobra.Command {
	var sel selection
	var latest int
	c := &cobra.Command{
		Use:     "snapshots [SNAPSHOT...]",
		GroupID: "read",
		Aliases: []string{"list"},
		Short:   "List snapshots",
		Long: `List snapshots, oldest first.

A snapshot is named by the beginning of its id, by a date (the newest one until
then), or by latest, latest~1 and so on.`,
		Example: `  snap snapshots
  snap snapshots --host web1 --tag daily
  snap snapshots --latest 1
  snap snapshots --json latest`,
		Args:        between(0, -1, "snapshots"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.snapshots(c.Context(), r, args, &sel, latest) })
		},
	}
	sel.register(c.Flags())
	c.Flags().IntVar(&latest, "latest", 0, "only the last `n` of each source")
	return c
}

func (a *app) snapshots(ctx context.Context, r *repo.Repo, words []string, sel *selection, latest int) error {
	all, err := a.some(ctx, r, words, sel.filter())
	if err != nil {
		return err
	}
	if latest > 0 {
		all = latestOfEach(all, latest)
	}
	if a.global.json {
		out := make([]snapshotJSON, 0, len(all))
		for _, s := range all {
			out = append(out, newSnapshotJSON(s))
		}
		return a.jsonLine(out)
	}
	reduced := int64(0)
	table := term.NewTable("ID", "Time", "Host", "Source", "Tags", "Paths", ">Size")
	for _, s := range all {
		table.Row(shortID(s), s.Time.Local().Format(time.DateTime), string(s.Host), sourceCell(s), tagsCell(s), pathsCell(s), sizeCell(s))
		if isReduced(s) {
			reduced++
		}
	}
	if err := table.Write(a.out); err != nil {
		return err
	}
	a.printf("%s", term.Count(int64(len(all)), "snapshot"))
	if reduced > 0 {
		a.printf("%s with %s", term.Count(reduced, "snapshot"), reducedText)
	}
	return nil
}

// latestOfEach keeps the last n snapshots of each source.
func latestOfEach(all []*repo.Snapshot, n int) []*repo.Snapshot {
	left := map[snapshot.SourceID]int{}
	for _, s := range all {
		left[s.Source]++
	}
	var out []*repo.Snapshot
	for _, s := range all {
		if left[s.Source] <= n {
			out = append(out, s)
		}
		left[s.Source]--
	}
	return out
}

func shortID(s *repo.Snapshot) string { return s.ID.String()[:8] }

// sourceCell leaves the name out if it tells no more than host and paths.
func sourceCell(s *repo.Snapshot) string {
	if string(s.SourceName) == sourceName(string(s.Host), text(s.Paths)) {
		return ""
	}
	return term.Name(string(s.SourceName))
}

func tagsCell(s *repo.Snapshot) string {
	words := append([]string(nil), s.Tags...)
	for _, m := range s.Marks {
		words = append(words, "("+m+")")
	}
	if isReduced(s) {
		words = append(words, "(reduced metadata: "+s.Origin.Transport+")")
	}
	if s.Pinned {
		words = append(words, "(pinned)")
	}
	return strings.Join(words, ",")
}

// reducedText says what a snapshot lacks that was pulled through less than an agent.
const reducedText = "reduced metadata: times in whole seconds, no hard links, attributes, ACLs, capabilities or device numbers"

func isReduced(s *repo.Snapshot) bool { return s.Origin != nil && s.Origin.Reduced }

func pathsCell(s *repo.Snapshot) string {
	var names []string
	for _, p := range s.Paths {
		names = append(names, term.Name(string(p)))
	}
	return strings.Join(names, "\n")
}

func sizeCell(s *repo.Snapshot) string {
	if s.Summary == nil {
		return ""
	}
	return term.Size(s.Summary.Bytes)
}

// snapshotJSON is a snapshot as scripts know it.
type snapshotJSON struct {
	Time           time.Time        `json:"time"`
	Parent         string           `json:"parent,omitempty"`
	Tree           string           `json:"tree"`
	Paths          []string         `json:"paths"`
	PathsB64       []string         `json:"paths_b64,omitempty"`
	Hostname       string           `json:"hostname"`
	HostnameB64    string           `json:"hostname_b64,omitempty"`
	Username       string           `json:"username"`
	UID            uint32           `json:"uid"`
	GID            uint32           `json:"gid"`
	Excludes       []string         `json:"excludes,omitempty"`
	Tags           []string         `json:"tags,omitempty"`
	ProgramVersion string           `json:"program_version,omitempty"`
	Summary        *snapshotSummary `json:"summary,omitempty"`
	Source         string           `json:"source"`
	SourceB64      string           `json:"source_b64,omitempty"`
	SourceID       string           `json:"source_id"`
	Sequence       uint64           `json:"sequence"`
	Previous       string           `json:"previous,omitempty"`
	Marks          []string         `json:"marks,omitempty"`
	Transport      string           `json:"transport,omitempty"`
	Reduced        bool             `json:"reduced_metadata,omitempty"`
	Why            string           `json:"why,omitempty"`
	Parts          []snapshotPart   `json:"parts,omitempty"`
	Pinned         bool             `json:"pinned,omitempty"`
	Note           string           `json:"note,omitempty"`
	ID             string           `json:"id"`
	ShortID        string           `json:"short_id"`
}

type snapshotSummary struct {
	BackupStart time.Time `json:"backup_start"`
	BackupEnd   time.Time `json:"backup_end"`
	snapshot.Summary
}

type snapshotPart struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Path    string `json:"path"`
	PathB64 string `json:"path_b64,omitempty"`
	Command string `json:"command,omitempty"`
}

func newSnapshotJSON(s *repo.Snapshot) snapshotJSON {
	out := snapshotJSON{Time: s.Time, Parent: s.Parent, Tree: s.Root, Paths: text(s.Paths), PathsB64: rawNames(s.Paths),
		Hostname: string(s.Host), HostnameB64: rawName(string(s.Host)), Username: string(s.User), UID: s.UID, GID: s.GID,
		Excludes: text(s.Excludes), Tags: s.Tags, ProgramVersion: s.Program,
		Source: string(s.SourceName), SourceB64: rawName(string(s.SourceName)), SourceID: fmt.Sprint(s.Source), Sequence: s.Sequence,
		Previous: s.Previous, Marks: s.Marks, Why: s.Why, Pinned: s.Pinned, Note: s.Note, ID: s.ID.String(), ShortID: shortID(s)}
	if s.Origin != nil {
		out.Transport, out.Reduced = s.Origin.Transport, s.Origin.Reduced
	}
	if s.Summary != nil {
		out.Summary = &snapshotSummary{BackupStart: s.Time, BackupEnd: s.End, Summary: *s.Summary}
	}
	for _, p := range s.Parts {
		out.Parts = append(out.Parts, snapshotPart{Name: string(p.Name), Kind: string(p.Kind), Path: string(p.Path),
			PathB64: rawName(string(p.Path)), Command: string(p.Command)})
	}
	return out
}
