package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) logCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "log",
		GroupID: "keep",
		Short:   "Show who removed, brought back or repaired what",
		Long: `Show who removed, brought back or repaired what, oldest first. Each entry names those
before it by their hashes, so that one that was removed or changed is missed: this
gives exit code 30.`,
		Example: `  snap log
  snap log --json`,
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.showLog(c.Context(), r) })
		},
	}
}

type logJSON struct {
	Name    string `json:"name"`
	Missing bool   `json:"missing,omitempty"`
	Error   string `json:"error,omitempty"`
	repo.LogEntry
}

func (a *app) showLog(ctx context.Context, r *repo.Repo) error {
	entries, err := r.Log(ctx)
	if err != nil {
		return err
	}
	bad := 0
	for _, e := range entries {
		if e.Err != nil {
			bad++
		}
	}
	if a.global.json {
		list := make([]logJSON, 0, len(entries))
		for _, e := range entries {
			x := logJSON{Name: e.Name, Missing: e.Missing, LogEntry: e}
			if e.Err != nil {
				x.Error = e.Err.Error()
			}
			list = append(list, x)
		}
		err = a.jsonLine(list)
	} else {
		err = a.printLog(entries)
	}
	if err != nil || bad == 0 {
		return err
	}
	return fail(exitDamage, "the log misses something: %s missing or damaged", plural(bad, "entry", "entries")).
		withHint("somebody or something removed what the log had to tell; compare with another copy of the repository")
}

func (a *app) printLog(entries []repo.LogEntry) error {
	table := term.NewTable(">No", "Time", "Host", "What", "Details")
	for _, e := range entries {
		number := strings.TrimLeft(e.Name[:min(len(e.Name), 10)], "0")
		switch {
		case e.Missing:
			table.Row(number, "", "", "MISSING", "a later entry names it")
		case e.Err != nil:
			table.Row(number, "", "", "DAMAGED", term.Line(e.Err.Error()))
		default:
			table.Row(number, e.Time.Local().Format(time.DateTime), term.Name(e.Host), term.Name(e.What), logDetails(&e))
		}
	}
	if err := table.Write(a.out); err != nil {
		return err
	}
	a.printf("%s", plural(len(entries), "entry", "entries"))
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// logShown is how many ids of an entry are shown.
const logShown = 8

func logDetails(e *repo.LogEntry) string {
	var parts []string
	if n := len(e.Snapshots); n > 0 {
		var ids []string
		for _, id := range e.Snapshots[:min(n, logShown)] {
			ids = append(ids, id[:min(len(id), 8)])
		}
		if n > logShown {
			ids = append(ids, fmt.Sprintf("and %d more", n-logShown))
		}
		parts = append(parts, term.Count(int64(n), "snapshot")+": "+strings.Join(ids, " "))
	}
	if n := len(e.Files); n > 0 {
		text := term.Count(int64(n), "file")
		if e.Bytes > 0 {
			text += ", " + term.Size(e.Bytes)
		}
		parts = append(parts, text)
	}
	if e.Why != "" {
		parts = append(parts, e.Why)
	}
	if e.Final {
		parts = append(parts, "for good")
	}
	return term.Line(strings.Join(parts, "; "))
}
