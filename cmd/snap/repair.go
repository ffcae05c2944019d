package main

import (
	"context"
	"errors"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) repairCommand() *cobra.Command {
	var o repo.RepairOptions
	c := &cobra.Command{
		Use:     "repair",
		GroupID: "keep",
		Short:   "Make whole again what is damaged",
		Long: `Make whole again what is damaged: packs from their parity, small files from their
second copies, the index from the packs. What is replaced is put aside in bad/, and
nothing is removed; snap log tells of it, also if the repair is killed. What cannot be
mended is listed by snapshot and file; the next backup of a source that still has it
brings it back.

Packs in an archive are not read, and left as they are, without --warm-up.

If there was damage the exit code is 30, mended or not; the next run tells what is left.
What a run leaves that was cut off is no damage: its packs are put in the index, for the
next backup or prune, and second copies and parity that it did not get to are written.`,
		Example: `  snap repair --dry-run
  snap repair`,
		Args:        noArgs,
		Annotations: safe("nothing was removed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.repair(c.Context(), r, o) })
		},
	}
	c.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, "change nothing, tell what would be done")
	return c
}

type repairSummary struct {
	MessageType       string   `json:"message_type"`
	DryRun            bool     `json:"dry_run,omitempty"`
	Mended            []string `json:"mended"`
	Protected         []string `json:"protected"`
	PacksIndexed      int      `json:"packs_indexed"`
	PacksAdopted      int      `json:"packs_adopted"`
	SegmentsSaved     int      `json:"segments_saved"`
	PacksArchived     int      `json:"packs_archived,omitempty"`
	NumErrors         int      `json:"num_errors"` // that are left
	SnapshotsAffected int      `json:"snapshots_affected"`
}

func (a *app) repair(ctx context.Context, r *repo.Repo, o repo.RepairOptions) error {
	p := &repo.CheckProgress{}
	o.Progress = p
	stop := a.watch(func() progress.State { return checkState(p) }, func(s progress.State) any { return newStatus(s) })
	result, err := r.Repair(ctx, o)
	stop()
	if result == nil || (err != nil && !errors.Is(err, repo.ErrDamagedFound)) {
		return err
	}
	a.damage(result.Damage, result.Affected)
	if a.global.json {
		s := repairSummary{"summary", o.DryRun, append([]string{}, result.Mended...), append([]string{}, result.Protected...), result.Indexed, result.Adopted, result.Salvaged, result.Archived, len(result.Damage), len(result.Affected)}
		if err := a.jsonLine(s); err != nil {
			return err
		}
	} else {
		a.printRepair(result, o.DryRun)
	}
	if err == nil {
		return nil
	}
	return repairFailure(result, o.DryRun)
}

func (a *app) printRepair(result *repo.RepairResult, dryRun bool) {
	would := ""
	if dryRun {
		would = "would be "
	}
	for _, name := range result.Mended {
		a.printf("%smended: %s", would, term.Name(name))
	}
	for _, name := range result.Protected {
		a.printf("%sprotected again: %s", would, term.Name(name))
	}
	if result.Adopted > 0 {
		a.printf("%sindexed: %s that no backup finished", would, term.Count(int64(result.Adopted), "pack"))
	}
	if result.Indexed > 0 {
		a.printf("%sindexed again: %s", would, term.Count(int64(result.Indexed), "pack"))
	}
	if result.Salvaged > 0 {
		a.printf("%ssaved from damaged packs: %s", would, term.Count(int64(result.Salvaged), "segment"))
	}
	if result.Archived > 0 {
		a.printf("not read: %s in an archive; --warm-up names a command that brings them", term.Count(int64(result.Archived), "pack"))
	}
	if len(result.Mended)+result.Indexed+result.Salvaged+len(result.Damage)+len(result.Affected) == 0 {
		a.printf("no damage found")
	}
}

// repairFailure says what is left, as the error of a run that found damage.
func repairFailure(result *repo.RepairResult, dryRun bool) error {
	left := len(result.Damage) + len(result.Affected)
	switch {
	case dryRun && left == 0:
		return fail(exitDamage, "there is damage, and all of it can be mended").withHint("keep a copy of the repository as it is, then run: snap repair")
	case dryRun:
		return fail(exitDamage, "there is damage; %s cannot be mended, which affects %s", term.Count(int64(len(result.Damage)), "file"),
			term.Count(int64(len(result.Affected)), "snapshot")).
			withHint("keep a copy of the repository as it is, then run: snap repair; the next backup brings back what the source still has")
	case left == 0:
		return fail(exitDamage, "there was damage, and all of it was mended").withHint("find out why it happened: look at the disk and at the machine's memory")
	}
	return fail(exitDamage, "%s could not be mended, which affects %s", term.Count(int64(len(result.Damage)), "file"),
		term.Count(int64(len(result.Affected)), "snapshot")).
		withHint("run the backup again: what the source still has is stored anew")
}
