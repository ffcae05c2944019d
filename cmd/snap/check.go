package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) checkCommand() *cobra.Command {
	var o repo.CheckOptions
	var maxAge string
	c := &cobra.Command{
		Use:     "check",
		GroupID: "keep",
		Short:   "Look for damage in the repository",
		Long: `Look for damage in the repository.

Without flags the structure is checked: all records, all listings of files, and that
whatever they need is stored. --read-data reads all that is stored as well, and
compares it with its hashes. With a key of the role writer file data is not decrypted.

This machine remembers what it has read and found whole. --max-age reads only what was
not verified for so long, --max-duration what can be read in a time, longest ago first:
run often, both together cover everything in time, each going on where the last one
ended. What is a quarter of --max-age from being too old is read already.

Nothing is changed. Damage gives exit code 30, and names the files that it affects.`,
		Example: `  snap check
  snap check --read-data
  snap check --read-data-subset 10%
  snap check --read-data-subset 1/7      # a seventh, another one each day
  snap check --read-data-subset 5G
  snap check --max-age 30d --max-duration 1h`,
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Subset != "" && !subsets().MatchString(o.Subset) {
				return usageError("--read-data-subset: %q is not n/t, a share in %%, or a size", o.Subset)
			}
			var err error
			switch {
			case maxAge != "" && o.Subset != "":
				return usageError("--max-age and --read-data-subset exclude each other")
			case maxAge != "":
				if o.MaxAge, err = parseAge("--max-age", maxAge); err != nil {
					return err
				}
			}
			if o.MaxDuration < 0 {
				return usageError("--max-duration: %v is below nothing", o.MaxDuration)
			}
			o.ReadData = o.ReadData || o.MaxDuration > 0
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.check(c.Context(), r, o, maxAge) })
		},
	}
	c.Flags().BoolVar(&o.ReadData, "read-data", false, "read everything that is stored")
	c.Flags().StringVar(&o.Subset, "read-data-subset", "", "read a `part`: n/t, a share in %, or a size such as 5G")
	c.Flags().StringVar(&maxAge, "max-age", "", "read what was not verified for a `time` such as 30d")
	c.Flags().DurationVar(&o.MaxDuration, "max-duration", 0, "begin to read no more after this `time`, such as 1h")
	return c
}

// subsets is what --read-data-subset may be.
var subsets = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+/[0-9]+|[0-9.]+%|[0-9.]+ *[bkmgtBKMGT]?i?[bB]?)$`)
})

func (a *app) check(ctx context.Context, r *repo.Repo, o repo.CheckOptions, maxAge string) error {
	at, err := a.place()
	if err != nil {
		return err
	}
	if o.Ledger = a.ledger(at, r); o.Ledger == nil && o.MaxAge > 0 {
		return usageError("--max-age: there is no place to remember what was verified").withHint("set HOME or XDG_STATE_HOME")
	}
	p := &repo.CheckProgress{}
	o.Progress = p
	stop := a.watch(func() progress.State { return checkState(p) }, func(s progress.State) any { return newStatus(s) })
	result, err := r.Check(ctx, o)
	stop()
	if o.Ledger != nil {
		if err := o.Ledger.Close(); err != nil {
			a.warn("what was verified is not remembered: " + err.Error())
		}
	}
	if result == nil || (err != nil && !errors.Is(err, repo.ErrDamagedFound)) {
		return err
	}
	a.damage(result.Damage, result.Affected)
	if a.global.json {
		if err := a.jsonLine(newCheckSummary(result)); err != nil {
			return err
		}
	} else {
		a.checkSummary(result, maxAge)
	}
	if err != nil {
		return fail(exitDamage, "%s damaged or missing in the repository, %s affected", term.Count(int64(len(result.Damage)), "file"),
			term.Count(int64(len(result.Affected)), "snapshot")).
			withHint("keep a copy of the repository as it is, then run: snap repair")
	}
	return nil
}

func checkState(p *repo.CheckProgress) progress.State {
	return progress.State{Done: p.Bytes.Load(), Total: p.TotalBytes.Load()}
}

// damage names what is damaged, and the files that cannot be restored because of it.
func (a *app) damage(damage []repo.Damage, affected []repo.Affected) {
	for _, d := range damage {
		reason := fmt.Sprint(d.Err)
		if d.Missing {
			reason = "missing"
		}
		a.itemError("check", d.Name, errors.New(reason))
	}
	for _, s := range affected {
		where := "snapshot " + shortID(s.Snapshot)
		if s.Tree != nil {
			a.itemError("check", where, fmt.Errorf("a part of the list of its files cannot be read: %w", s.Tree))
		}
		for _, f := range s.Files {
			a.itemError("check", "/"+f, fmt.Errorf("cannot be restored from %s", where))
		}
		if s.More > 0 {
			a.itemError("check", where, fmt.Errorf("%s more cannot be restored", term.Count(int64(s.More), "file")))
		}
	}
}

// itemError tells of a problem with one thing.
func (a *app) itemError(during, item string, err error) {
	if a.global.json {
		a.jsonTo(a.stderr, newErrorMessage(item, during, err))
		return
	}
	a.warn(term.Name(item) + ": " + err.Error())
}

type checkSummary struct {
	MessageType        string    `json:"message_type"`
	NumErrors          int       `json:"num_errors"`
	BrokenPacks        []string  `json:"broken_packs"`
	SuggestRepairIndex bool      `json:"suggest_repair_index"`
	SuggestPrune       bool      `json:"suggest_prune"`
	Snapshots          int       `json:"snapshots"`
	SnapshotsAffected  int       `json:"snapshots_affected"`
	Packs              int       `json:"packs"`
	PackBytes          int64     `json:"pack_bytes"`
	PacksRead          int       `json:"packs_read"`
	BytesRead          int64     `json:"bytes_read"`
	DataOpened         bool      `json:"data_opened"`
	Orphans            int       `json:"orphans"`
	OrphanBytes        int64     `json:"orphan_bytes"`
	Coverage           *coverage `json:"coverage,omitempty"`
}

func newCheckSummary(r *repo.CheckResult) checkSummary {
	s := checkSummary{MessageType: "summary", NumErrors: len(r.Damage), BrokenPacks: []string{}, SuggestPrune: len(r.Orphans) > 0,
		Snapshots: r.Snapshots, SnapshotsAffected: len(r.Affected), Packs: r.Packs, PackBytes: r.PackBytes, PacksRead: r.PacksRead,
		BytesRead: r.BytesRead, DataOpened: r.DataOpened, Orphans: len(r.Orphans), OrphanBytes: r.OrphanBytes, Coverage: newCoverage(r)}
	for _, d := range r.Damage {
		switch folder, _, _ := strings.Cut(d.Name, "/"); folder {
		case "data", "meta":
			s.BrokenPacks = append(s.BrokenPacks, d.Name)
		case "index":
			s.SuggestRepairIndex = true
		}
	}
	return s
}

func (a *app) checkSummary(r *repo.CheckResult, maxAge string) {
	if a.global.quiet {
		return
	}
	a.printf("checked %s, %s of %s", term.Count(int64(r.Snapshots), "snapshot"), term.Count(int64(r.Packs), "pack"), term.Size(r.PackBytes))
	if r.PacksRead > 0 {
		how := "and compared all chunks with their hashes"
		if !r.DataOpened {
			how = "and compared their hashes; this key cannot open file data"
		}
		a.printf("read %s, %s, %s", term.Count(int64(r.PacksRead), "pack"), term.Size(r.BytesRead), how)
	}
	a.printCoverage(r, maxAge)
	if len(r.Orphans) > 0 {
		a.printf("%s that no backup finished, %s: prune removes them", term.Count(int64(len(r.Orphans)), "pack"), term.Size(r.OrphanBytes))
	}
	if len(r.Damage) == 0 {
		a.printf("no damage found")
	}
}
