package main

import (
	"context"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) spaceCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "space",
		GroupID: "keep",
		Short:   "Show what the space is used for, and what can be had back when",
		Long: `Show what each byte of the repository is there for: what snapshots need, what waits
until when, and what can be had back now. Only listings are read, no data.

Space comes back in steps: a forgotten snapshot can be brought back for 7 days, a prune
then condemns what nobody needs, and a later one removes it, at least 72 hours after.`,
		Example: `  snap space
  snap space --json`,
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.space(c.Context(), r) })
		},
	}
}

// spaceRow is a part of the space in words.
type spaceRow struct {
	name string // in JSON
	part *repo.SpacePart
	what string
	next string // what gives it back
}

func spaceRows(s *repo.Space) []spaceRow {
	return []spaceRow{
		{"live", &s.Live, "needed by " + term.Count(int64(s.Snapshots), "snapshot"), ""},
		{"trash", &s.Trash, "needed only by " + term.Count(int64(s.TrashSnapshots), "forgotten snapshot"), "snap undelete brings them back until then"},
		{"unused", &s.Unused, "unused, in packs that are partly needed", "snap prune rewrites packs when enough of them is unused"},
		{"inside", &s.Inside, "unused, about, in segments that are partly needed", "snap copy leaves it out of another repository"},
		{"dead", &s.Dead, "unused, in whole packs", "snap prune condemns them, free 72 hours later"},
		{"orphans", &s.Orphans, "left by runs that were cut off", "snap prune condemns them, free 72 hours later"},
		{"young", &s.Young, "unused, or of a backup that still runs", "snap prune looks at them when they are a day old"},
		{"waiting", &s.Waiting, "condemned, in their waiting time", "snap prune removes them then"},
		{"ready", &s.Ready, "condemned, and their waiting time is over", "snap prune removes them now"},
		{"uncertain", &s.Uncertain, "cannot be told, because of damage", "see: snap check"},
	}
}

func (a *app) space(ctx context.Context, r *repo.Repo) error {
	s, err := r.Space(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		err = a.jsonLine(newSpaceJSON(s))
	} else {
		err = a.printSpace(s)
	}
	if err != nil {
		return err
	}
	if s.Damage != nil {
		return fail(exitDamage, "not all that snapshots need could be read, so the figures are not sure: %w", s.Damage).withHint("find out more: snap check")
	}
	if s.MissingChunks > 0 {
		return fail(exitDamage, "%s that snapshots need are missing, so the figures are not sure", term.Count(s.MissingChunks, "chunk")).withHint("find out more: snap check")
	}
	return nil
}

func (a *app) printSpace(s *repo.Space) error {
	table := term.NewTable(">Size", "What for", "Until", "What gives it back")
	for _, row := range spaceRows(s) {
		if row.part.Bytes == 0 && row.part.Files == 0 {
			continue
		}
		table.Row(term.Size(row.part.Bytes), row.what, untilCell(row.part), row.next)
	}
	table.Row(term.Size(s.Other.Bytes), "index, records, keys, parity", "", "")
	table.Row(term.Size(s.Stored.Bytes+s.Other.Bytes), "whole repository", "", "")
	if err := table.Write(a.out); err != nil {
		return err
	}
	a.printf("snap prune frees %s at once", term.Size(s.FreedByPrune()))
	least, most := s.FreedByPruneNow()
	if most > s.FreedByPrune() {
		a.printf("snap prune --now frees %s to %s, with no way back: only for an owner who is alone", term.Size(least), term.Size(most))
	}
	return nil
}

// untilCell says when the first and the last of it can be had.
func untilCell(p *repo.SpacePart) string {
	if p.From.IsZero() {
		return ""
	}
	cell := p.From.Local().Format(time.DateTime)
	if !p.To.Equal(p.From) {
		cell += "\nto " + p.To.Local().Format(time.DateTime)
	}
	return cell
}

type spacePartJSON struct {
	What  string     `json:"what"`
	Bytes int64      `json:"bytes"`
	Files int        `json:"files"`
	From  *time.Time `json:"from,omitempty"`
	To    *time.Time `json:"to,omitempty"`
	Why   string     `json:"why"`
	Next  string     `json:"next,omitempty"`
}

type spaceJSON struct {
	MessageType      string          `json:"message_type"`
	Snapshots        int             `json:"snapshots"`
	SnapshotsTrashed int             `json:"snapshots_trashed"`
	TotalBytes       int64           `json:"total_bytes"`
	PackBytes        int64           `json:"pack_bytes"`
	Packs            int             `json:"packs"`
	OtherBytes       int64           `json:"other_bytes"`
	FreedByPrune     int64           `json:"freed_by_prune"`
	FreedNowLeast    int64           `json:"freed_by_prune_now_least"`
	FreedNowMost     int64           `json:"freed_by_prune_now_most"`
	MissingChunks    int64           `json:"missing_chunks"`
	Parts            []spacePartJSON `json:"parts"`
}

func newSpaceJSON(s *repo.Space) spaceJSON {
	out := spaceJSON{MessageType: "summary", Snapshots: s.Snapshots, SnapshotsTrashed: s.TrashSnapshots, TotalBytes: s.Stored.Bytes + s.Other.Bytes,
		PackBytes: s.Stored.Bytes, Packs: s.Stored.Files, OtherBytes: s.Other.Bytes, FreedByPrune: s.FreedByPrune(),
		MissingChunks: s.MissingChunks}
	out.FreedNowLeast, out.FreedNowMost = s.FreedByPruneNow()
	for _, row := range spaceRows(s) {
		p := spacePartJSON{What: row.name, Bytes: row.part.Bytes, Files: row.part.Files, Why: row.what, Next: row.next}
		if !row.part.From.IsZero() {
			p.From, p.To = &row.part.From, &row.part.To
		}
		out.Parts = append(out.Parts, p)
	}
	return out
}
