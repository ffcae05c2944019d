package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// pruneFlags say how much work a prune may do.
type pruneFlags struct {
	maxUnused, maxRepack string
	maxDuration          time.Duration
}

func (p *pruneFlags) register(f *pflag.FlagSet) {
	f.StringVar(&p.maxUnused, "max-unused", "", "`share` of what is stored that may stay unused, in %, or unlimited (default 15%)")
	f.StringVar(&p.maxRepack, "max-repack-size", "", "copy at most so much: `size`")
	f.DurationVar(&p.maxDuration, "max-duration", 0, "begin no copies after this `time`, such as 30m")
}

func (p *pruneFlags) options() (o repo.PruneOptions, err error) {
	o.MaxDuration = p.maxDuration
	switch share, ok := strings.CutSuffix(p.maxUnused, "%"); {
	case p.maxUnused == "":
	case p.maxUnused == "unlimited":
		o.MaxUnused = 1
	case !ok:
		return o, usageError("--max-unused: %q is no share in %%", p.maxUnused)
	default:
		v, err := strconv.ParseFloat(share, 64)
		if err != nil || !(v >= 0 && v <= 100) {
			return o, usageError("--max-unused: %q is not 0%% to 100%%", p.maxUnused)
		}
		if o.MaxUnused = v / 100; v == 0 {
			o.MaxUnused = -1
		}
	}
	if p.maxRepack != "" {
		if o.MaxRepack, err = term.ParseSize(p.maxRepack, 1); err != nil {
			return o, usageError("--max-repack-size: %v", err)
		}
		if o.MaxRepack == 0 {
			o.MaxRepack = -1
		}
	}
	return o, nil
}

func (a *app) pruneCommand() *cobra.Command {
	var f pruneFlags
	var now, dryRun bool
	c := &cobra.Command{
		Use:     "prune",
		GroupID: "keep",
		Short:   "Give back the space that no snapshot uses",
		Long: `Give back the space that no snapshot uses. Backups may go on meanwhile.

Forgotten snapshots stay for 7 days, in which undelete brings them back. What is
unused then is condemned by one prune, and removed by a later one, at least 72
hours after it. --now skips both waiting times: only for an owner who is alone, while
no other program writes to the repository.`,
		Example: `  snap prune
  snap prune --dry-run
  snap prune --max-duration 30m
  snap prune --now`,
		Args:        noArgs,
		Annotations: safe("all snapshots are intact"),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			o.Now, o.DryRun = now, dryRun
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.prune(c.Context(), r, o) })
		},
	}
	f.register(c.Flags())
	c.Flags().BoolVar(&now, "now", false, "skip the waiting times")
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "change nothing, tell what would be done")
	return c
}

func (a *app) prune(ctx context.Context, r *repo.Repo, o repo.PruneOptions) error {
	result, err := r.Prune(ctx, o)
	if err != nil {
		return err
	}
	if a.global.json {
		err = a.jsonLine(newPruneSummary(result, o.DryRun))
	} else {
		a.pruneSummary(result, o.DryRun)
	}
	if err != nil {
		return err
	}
	locks, err := a.keepLocks(ctx, r, repo.LockOptions{DryRun: o.DryRun, Free: true})
	if err == nil && o.Now && !o.DryRun && locks.Held > 0 && locks.Freed == 0 {
		return fail(exitImmutable, "no space could be freed: %s in %s is locked, the first until %s", term.Size(locks.HeldBytes),
			term.Count(int64(locks.Held), "file"), locks.HeldUntil.Local().Format(time.DateTime)).withHint("run prune again then; locks cannot be shortened")
	}
	return err
}

type pruneCounts struct {
	Used      int64 `json:"used"`
	Unused    int64 `json:"unused"`
	Repack    int64 `json:"repack"`
	Remove    int64 `json:"remove"`
	Remaining int64 `json:"remaining"`
}

type pruneSummary struct {
	MessageType       string      `json:"message_type"`
	DryRun            bool        `json:"dry_run,omitempty"`
	Bytes             pruneCounts `json:"bytes"`
	Packfiles         pruneCounts `json:"packfiles"`
	Snapshots         int         `json:"snapshots"`
	SnapshotsTrashed  int         `json:"snapshots_trashed"`
	SnapshotsEmptied  int         `json:"snapshots_emptied"`
	BytesCopied       int64       `json:"bytes_copied"`
	BytesWaiting      int64       `json:"bytes_waiting"`
	PacksWaiting      int         `json:"packs_waiting"`
	WaitingUntil      *time.Time  `json:"waiting_until,omitempty"`
	BytesYoung        int64       `json:"bytes_young"`
	OrphanPacks       int         `json:"orphan_packs"`
	OrphanBytes       int64       `json:"orphan_bytes"`
	MissingChunks     int         `json:"missing_chunks"`
	BoundReachedFirst bool        `json:"unfinished,omitempty"`
}

func newPruneSummary(r *repo.PruneResult, dryRun bool) pruneSummary {
	s := pruneSummary{MessageType: "summary", DryRun: dryRun,
		Bytes:     pruneCounts{r.LiveBytes, r.UnusedBytes + r.DeadBytes, r.RepackBytes, r.RemovedBytes, r.StoredBytes - r.RemovedBytes + r.CopiedBytes},
		Packfiles: pruneCounts{int64(r.Packs - r.DeadPacks), int64(r.DeadPacks), int64(r.Repacked), int64(r.RemovedPacks), int64(r.Stored - r.RemovedPacks + r.NewPacks)},
		Snapshots: r.Snapshots, SnapshotsTrashed: r.Trashed, SnapshotsEmptied: r.Emptied, BytesCopied: r.CopiedBytes,
		BytesWaiting: r.WaitingBytes, PacksWaiting: r.WaitingPacks, BytesYoung: r.YoungBytes, OrphanPacks: r.Orphans, OrphanBytes: r.OrphanBytes,
		MissingChunks: r.MissingChunks, BoundReachedFirst: r.Unfinished}
	if !r.WaitingUntil.IsZero() {
		s.WaitingUntil = &r.WaitingUntil
	}
	return s
}

func (a *app) pruneSummary(r *repo.PruneResult, dryRun bool) {
	if !a.global.quiet {
		a.printf("%s in use, and %d forgotten ones that can be brought back", term.Count(int64(r.Snapshots-r.Trashed), "snapshot"), r.Trashed)
		a.printf("needed:      %s of %s in %s", term.Size(r.LiveBytes), term.Size(r.PackBytes), term.Count(int64(r.Packs), "pack"))
		a.printf("not needed:  %s in %s, condemned now", term.Size(r.DeadBytes+r.OrphanBytes), term.Count(int64(r.DeadPacks+r.Orphans), "pack"))
		a.printf("rewritten:   %s, of which %s were copied", term.Size(r.RepackBytes), term.Size(r.CopiedBytes))
		if r.YoungBytes > 0 {
			a.printf("too young:   %s", term.Size(r.YoungBytes))
		}
		if r.WaitingPacks > 0 {
			a.printf("waiting:     %s in %s, until %s", term.Size(r.WaitingBytes), term.Count(int64(r.WaitingPacks), "pack"), r.WaitingUntil.Local().Format(time.DateTime))
		}
		if r.Unfinished {
			a.printf("a limit was reached: run prune again to go on")
		}
	}
	if r.MissingChunks > 0 {
		a.warn(term.Count(int64(r.MissingChunks), "chunk") + " that snapshots need are missing: run snap check")
	}
	if dryRun {
		a.printf("dry run: nothing was changed")
		return
	}
	a.printf("freed %s in %s", term.Size(r.RemovedBytes), term.Count(int64(r.RemovedPacks), "pack"))
}
