package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) copyCommand() *cobra.Command {
	var from fromFlags
	var sel selection
	var dryRun bool
	c := &cobra.Command{
		Use:     "copy --from-repo REPO [SNAPSHOT...]",
		GroupID: "make",
		Short:   "Copy snapshots from another repository",
		Long: `Copy snapshots from another repository into this one, all that the flags select or those
that are named, and seal them with the key of this one. What is there already is skipped,
and what an interrupted copy has stored is not read again by the next.

A copy keeps source, host, paths, times, tags, marks and pin. Its place in the history of
its source is the next one here. Large files are cut anew, unless the repository was made
with snap init --from-repo. A snapshot that cannot be read wholly is not copied; the
others are.`,
		Example: `  snap copy --from-repo /mnt/disk/backup --from-password-file ~/old
  snap copy --from-repo sftp://backup@nas/srv/backup --source web1:/srv latest`,
		Args:        between(0, -1, "snapshots"),
		Annotations: safe("the repository that is copied from was not changed, and what was copied so far is complete"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.copy(c.Context(), r, &from, args, sel.filter(), dryRun) })
		},
	}
	from.register(c.Flags(), "`place` of the repository to copy from")
	sel.register(c.Flags())
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "read everything and write nothing")
	return c
}

type copyLine struct {
	MessageType string `json:"message_type"` // copied, skipped or failed
	Original    string `json:"original"`
	ID          string `json:"id,omitempty"`
	Error       string `json:"error,omitempty"`
}

type copySummary struct {
	MessageType string `json:"message_type"`
	DryRun      bool   `json:"dry_run,omitempty"`
	Copied      int    `json:"copied"`
	Skipped     int    `json:"skipped"`
	Failed      int    `json:"failed"`
	Added       int64  `json:"data_added"`
	Stored      int64  `json:"data_added_packed"`
}

func (a *app) copy(ctx context.Context, r *repo.Repo, f *fromFlags, words []string, filter repo.Filter, dryRun bool) error {
	from, closeFrom, err := a.openFrom(ctx, f)
	if err != nil {
		return err
	}
	result, err := a.copyFrom(ctx, r, from, words, filter, dryRun)
	if err = errors.Join(err, closeFrom()); err != nil {
		return err
	}
	for _, failed := range result.Failed {
		a.copyFailed(failed)
	}
	if a.global.json {
		err = a.jsonLine(copySummary{"summary", dryRun, result.Copied, result.Skipped, len(result.Failed), result.Added, result.Stored})
	} else {
		would := map[bool]string{true: "would copy ", false: "copied "}[dryRun]
		a.printf("%s%s, %d there already; added %s, %s stored", would, term.Count(int64(result.Copied), "snapshot"), result.Skipped,
			term.Size(result.Added), term.Size(result.Stored))
	}
	if err == nil && len(result.Failed) > 0 {
		err = fmt.Errorf("%w: %s could not be read", errPartial, term.Count(int64(len(result.Failed)), "snapshot"))
	}
	return err
}

func (a *app) copyFrom(ctx context.Context, r, from *repo.Repo, words []string, filter repo.Filter, dryRun bool) (*repo.CopyResult, error) {
	list, err := a.some(ctx, from, words, filter)
	if err != nil {
		return nil, err
	}
	p := &repo.Progress{}
	stop := a.watch(func() progress.State { return backupState(p) }, func(s progress.State) any { return newStatus(s) })
	defer stop()
	return r.Copy(ctx, from, list, repo.CopyOptions{DryRun: dryRun, Progress: p, Copied: a.copied})
}

// copied tells of a snapshot that was copied or skipped.
func (a *app) copied(s, made *repo.Snapshot, skipped bool) {
	id := ""
	if made != nil {
		id = made.ID.String()
	}
	switch {
	case a.global.json && skipped:
		_ = a.jsonLine(copyLine{MessageType: "skipped", Original: s.ID.String()}) // the summary gives the error
	case a.global.json:
		_ = a.jsonLine(copyLine{MessageType: "copied", Original: s.ID.String(), ID: id})
	case !skipped && made != nil && !a.global.quiet:
		a.printf("snapshot %s of %s copied as %s", s.ID.String()[:8], term.Name(string(s.SourceName)), id[:8])
	}
}

func (a *app) copyFailed(f repo.CopyFailure) {
	if a.global.json {
		_ = a.jsonLine(copyLine{MessageType: "failed", Original: f.Snapshot.ID.String(), Error: f.Err.Error()})
		return
	}
	a.warn(fmt.Sprintf("snapshot %s was not copied: %v", f.Snapshot.ID.String()[:8], f.Err))
}
