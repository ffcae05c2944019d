package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type forgetFlags struct {
	sel                                               selection
	policy                                            policyFlags
	prune, dryRun, now, yes, removeAll, suspiciousToo bool
	pruneFlags                                        pruneFlags
}

func (a *app) forgetCommand() *cobra.Command {
	var f forgetFlags
	c := &cobra.Command{
		Use:     "forget [SNAPSHOT...] [--keep-daily N ...]",
		GroupID: "keep",
		Short:   "Remove snapshots by a rule, or single ones",
		Long: `Remove snapshots by a rule, or those that are named. Without either, the policy holds
that is stored for each source (snap policy set); sources without one are left alone.

Rules hold for each source on its own: what was backed up from one host and its
paths, or under one --source name. A coarser rule begins where the finer one ends, so
that 7 daily, 4 weekly and 12 monthly reach back more than a year.

A snapshot that is marked partial or suspicious takes no place of a good one. While the
newest one of a source is suspicious nothing of that source is forgotten by rule. The newest
good one always stays, and so does what is pinned (snap pin).

Forgotten snapshots can be brought back with undelete for 7 days. Space is
given back by prune. --now skips the waiting times: only for an owner who is alone.`,
		Example: `  snap forget --dry-run
  snap forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  snap forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --prune
  snap forget --keep-within 30d --keep-tag important --host web1
  snap forget 2f9a61c0`,
		Args:        between(0, -1, "snapshots"),
		Annotations: safe("what was forgotten so far can be brought back with snap undelete"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.forget(c.Context(), r, args, &f) })
		},
	}
	f.policy.register(c.Flags())
	c.Flags().BoolVar(&f.prune, "prune", false, "give back space afterwards")
	c.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "tell what would be forgotten")
	c.Flags().BoolVar(&f.now, "now", false, "remove at once, without a way back; with --prune, free space at once")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&f.removeAll, "unsafe-allow-remove-all", false, "let sources lose their last snapshot")
	c.Flags().BoolVar(&f.suspiciousToo, "release-suspicious", false, "forget although the newest snapshot of a source is suspicious")
	f.sel.registerShort(c.Flags(), "")
	f.pruneFlags.register(c.Flags())
	return c
}

func (a *app) forget(ctx context.Context, r *repo.Repo, words []string, f *forgetFlags) error {
	policy, given, err := f.policy.policy()
	if err != nil {
		return err
	}
	o, err := f.pruneFlags.options()
	if err != nil {
		return err
	}
	if f.now {
		a.safe = "what was not forgotten is intact"
	}
	switch {
	case given && len(words) > 0:
		return usageError("give either snapshots or rules")
	case !given && len(words) == 0:
		err = a.forgetByStored(ctx, r, f)
	case given:
		err = a.forgetByPolicy(ctx, r, policy, f)
	default:
		err = a.forgetNamed(ctx, r, words, f)
	}
	if errors.Is(err, errDeclined) {
		a.notef("nothing was changed")
		return nil
	}
	if err == nil && !f.prune && !f.dryRun {
		_, err = a.keepLocks(ctx, r, repo.LockOptions{})
	}
	if err != nil || !f.prune {
		return err
	}
	o.Now, o.DryRun = f.now, f.dryRun
	return a.prune(ctx, r, o)
}

func (a *app) forgetNamed(ctx context.Context, r *repo.Repo, words []string, f *forgetFlags) error {
	all, err := a.some(ctx, r, words, f.sel.filter())
	if err != nil {
		return err
	}
	var ids []repo.SnapshotID
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	if f.dryRun {
		a.notef("would forget %s", term.Count(int64(len(ids)), "snapshot"))
		return nil
	}
	return a.forgetAll(ctx, r, ids, "named", f)
}

func (a *app) forgetByPolicy(ctx context.Context, r *repo.Repo, policy repo.Policy, f *forgetFlags) error {
	plan, err := r.ForgetPlan(ctx, policy, f.sel.filter(), repo.ForgetPlanOptions{ReleaseSuspicious: f.suspiciousToo})
	if err != nil {
		return err
	}
	for _, tag := range plan.Unmatched {
		a.warn("--keep-tag " + tag + ": no snapshot has it")
	}
	return a.carryOut(ctx, r, plan, nil, "keep "+policy.String(), f)
}

// forgetByStored goes by the policies that are stored in the repository.
func (a *app) forgetByStored(ctx context.Context, r *repo.Repo, f *forgetFlags) error {
	noRule := usageError("no rule says what to keep").
		withHint("for instance: snap forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run; or store a rule: snap policy set")
	if f.policy.zone != "" || f.policy.overlap {
		return noRule // they change rules that are given
	}
	plan, without, err := r.ForgetPlanStored(ctx, f.sel.filter(), repo.ForgetPlanOptions{ReleaseSuspicious: f.suspiciousToo})
	if err != nil {
		return err
	}
	if len(plan.Sources) == 0 {
		return noRule
	}
	for _, source := range without {
		a.notef("%s: left alone, no policy is stored", term.Name(source.Name))
	}
	return a.carryOut(ctx, r, plan, without, "stored policies", f)
}

// carryOut prints a plan, and forgets what it does not keep.
func (a *app) carryOut(ctx context.Context, r *repo.Repo, plan *repo.ForgetPlan, without []repo.ForgetSource, why string, f *forgetFlags) (err error) {
	if a.global.json {
		err = a.jsonLine(planJSON(plan, without))
	} else if !a.global.quiet {
		err = a.printPlan(plan)
	}
	ids := plan.Remove()
	if err != nil || f.dryRun || len(ids) == 0 {
		return err
	}
	if !f.yes && terminal(a.stdin) && terminal(a.stderr) {
		ok, err := a.confirm(fmt.Sprintf("forget %s?", term.Count(int64(len(ids)), "snapshot")))
		if err != nil {
			return err
		}
		if !ok {
			return errDeclined
		}
	}
	return a.forgetAll(ctx, r, ids, why, f)
}

// errDeclined says that a person was asked and said no.
var errDeclined = errors.New("declined")

// confirm asks a person.
func (a *app) confirm(question string) (bool, error) {
	a.out.Flush()
	io.WriteString(a.stderr, question+" [y/N] ")
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, err
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))), nil
}

func (a *app) forgetAll(ctx context.Context, r *repo.Repo, ids []repo.SnapshotID, why string, f *forgetFlags) error {
	result, err := r.Forget(ctx, ids, repo.ForgetOptions{Now: f.now, AllowAll: f.removeAll, Why: why})
	if errors.Is(err, syscall.ENOSPC) && !f.now && (result == nil || len(result.Forgotten) == 0) {
		return fail(exitNoSpace, "%w", err).withHint("the trash takes a little space; without it there is no way back: add --now --prune --max-repack-size 0")
	}
	if err != nil {
		if result != nil && len(result.Forgotten) > 0 {
			return fmt.Errorf("%w: %d of %s were forgotten: %w", errPartial, len(result.Forgotten), term.Count(int64(len(ids)), "snapshot"), err)
		}
		return err
	}
	if a.global.json {
		return nil
	}
	a.printf("forgot %s", term.Count(int64(len(result.Forgotten)), "snapshot"))
	if !f.now && len(result.Forgotten) > 0 {
		a.notef("they can be brought back for %d days: snap undelete", int(repo.DefaultGraceTrash/(24*time.Hour)))
	}
	return nil
}

// printPlan prints what stays and what goes, and why.
func (a *app) printPlan(plan *repo.ForgetPlan) error {
	for i, source := range plan.Sources {
		if i > 0 {
			a.printf("")
		}
		a.printf("%s", term.Name(source.Name))
		if plan.Policy.Validate() != nil { // each source has its own
			a.printf("policy: %s", source.Policy)
		}
		table := term.NewTable("", "ID", "Time", "Why")
		for _, d := range source.Decisions {
			verdict, why := "go", "no rule keeps it"
			if d.Keep {
				verdict, why = "keep", reasonsText(d)
			}
			table.Row(verdict, shortID(d.Record), d.Record.Time.Local().Format(time.DateTime), why)
		}
		if err := table.Write(a.out); err != nil {
			return err
		}
	}
	return nil
}

func reasonsText(d repo.ForgetDecision) string {
	words := make([]string, len(d.Reasons))
	for i, r := range d.Reasons {
		words[i] = r.String()
	}
	return strings.Join(words, "; ")
}

type forgetGroup struct {
	Source   string         `json:"source"`
	SourceID string         `json:"source_id"`
	Tags     []string       `json:"tags"`
	Host     string         `json:"host"`
	Paths    []string       `json:"paths"`
	Keep     []snapshotJSON `json:"keep"`
	Remove   []snapshotJSON `json:"remove"`
	Reasons  []forgetReason `json:"reasons"`
	Policy   *repo.Policy   `json:"policy"` // null if there is none: all are kept
}

type forgetReason struct {
	Snapshot snapshotJSON `json:"snapshot"`
	Matches  []string     `json:"matches"`
}

func planJSON(plan *repo.ForgetPlan, without []repo.ForgetSource) []forgetGroup {
	groups := make([]forgetGroup, 0, len(plan.Sources))
	for _, source := range plan.Sources {
		g := forgetGroup{Source: source.Name, SourceID: source.ID, Keep: []snapshotJSON{}, Remove: []snapshotJSON{}, Reasons: []forgetReason{}, Policy: &source.Policy}
		for i, d := range source.Decisions {
			s := newSnapshotJSON(d.Record)
			if i == 0 {
				g.Host, g.Paths = s.Hostname, s.Paths
			}
			if !d.Keep {
				g.Remove = append(g.Remove, s)
				continue
			}
			g.Keep = append(g.Keep, s)
			reason := forgetReason{Snapshot: s}
			for _, r := range d.Reasons {
				reason.Matches = append(reason.Matches, r.String())
			}
			g.Reasons = append(g.Reasons, reason)
		}
		groups = append(groups, g)
	}
	for _, source := range without {
		groups = append(groups, forgetGroup{Source: source.Name, SourceID: source.ID, Keep: []snapshotJSON{}, Remove: []snapshotJSON{}, Reasons: []forgetReason{}})
	}
	return groups
}
