package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) undeleteCommand() *cobra.Command {
	var sel selection
	var all bool
	c := &cobra.Command{
		Use:     "undelete [SNAPSHOT...]",
		GroupID: "keep",
		Short:   "Bring forgotten snapshots back, or list them",
		Long: `Bring forgotten snapshots back. Without a snapshot and without --all, list those
that can be brought back.`,
		Example: `  snap undelete
  snap undelete 2f9a61c0
  snap undelete --all --host web1`,
		Args:        between(0, -1, "snapshots"),
		Annotations: safe("nothing was lost"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.undelete(c.Context(), r, args, sel.filter(), all) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "bring back all that the flags select")
	sel.register(c.Flags())
	return c
}

func (a *app) undelete(ctx context.Context, r *repo.Repo, words []string, f repo.Filter, all bool) error {
	trash, err := r.Trash(ctx, f)
	if err != nil && (len(trash) == 0 || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		a.warn(fmt.Sprintf("some forgotten snapshots cannot be read: %v", err))
	}
	if len(words) == 0 && !all {
		return a.listTrash(trash)
	}
	var ids []repo.SnapshotID
	if all {
		for _, t := range trash {
			ids = append(ids, t.ID)
		}
	}
	for _, word := range words {
		id, err := inTrash(trash, word)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	back, err := r.Undelete(ctx, ids)
	if err != nil && len(back) > 0 && ctx.Err() == nil {
		err = fmt.Errorf("%w: %d of %s were brought back: %w", errPartial, len(back), term.Count(int64(len(ids)), "snapshot"), err)
	}
	if a.global.json {
		return errors.Join(err, a.jsonLine(struct {
			MessageType string `json:"message_type"`
			Undeleted   int    `json:"undeleted_snapshots"`
		}{"summary", len(back)}))
	}
	if err == nil || len(back) > 0 {
		a.printf("brought back %s", term.Count(int64(len(back)), "snapshot"))
	}
	return err
}

// inTrash finds the snapshot whose id begins with word.
func inTrash(trash []repo.TrashedSnapshot, word string) (found repo.SnapshotID, err error) {
	n := 0
	for _, t := range trash {
		if strings.HasPrefix(t.ID.String(), word) && len(word) >= 4 {
			found = t.ID
			n++
		}
	}
	switch n {
	case 0:
		return found, fail(exitNoSnapshot, "%q: no such snapshot among the forgotten ones", word).withHint("list them with: snap undelete")
	case 1:
		return found, nil
	}
	return found, fmt.Errorf("%q: %w", word, repo.ErrAmbiguous)
}

type trashJSON struct {
	snapshotJSON
	Forgotten time.Time `json:"forgotten"`
}

func (a *app) listTrash(trash []repo.TrashedSnapshot) error {
	if a.global.json {
		list := make([]trashJSON, 0, len(trash))
		for _, t := range trash {
			list = append(list, trashJSON{newSnapshotJSON(t.Snapshot), t.Forgotten})
		}
		return a.jsonLine(list)
	}
	table := term.NewTable("ID", "Time", "Host", "Tags", "Paths", "Forgotten")
	for _, t := range trash {
		s := t.Snapshot
		table.Row(shortID(s), s.Time.Local().Format(time.DateTime), string(s.Host), tagsCell(s), pathsCell(s), t.Forgotten.Local().Format(time.DateTime))
	}
	if err := table.Write(a.out); err != nil {
		return err
	}
	a.printf("%s can be brought back", term.Count(int64(len(trash)), "snapshot"))
	return nil
}
