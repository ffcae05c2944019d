package main

import (
	"context"
	"time"

	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) retentionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "retention",
		GroupID: "keep",
		Short:   "Show what rules keep, and why",
		Example: `  snap retention explain
  snap retention simulate --years 2`,
	}
	return parent(c, a.explainCommand(), a.simulateCommand())
}

func (a *app) explainCommand() *cobra.Command {
	var f policyFlags
	c := &cobra.Command{
		Use:   "explain [SOURCE] [--keep-daily N ...]",
		Short: "Say of each snapshot why it stays, and until when",
		Long: `Say of each snapshot whether snap forget would keep it, why, and until when if backups
go on as before. It goes by the policy that is stored for each source, or by the rules
given here.`,
		Example: `  snap retention explain
  snap retention explain web1:/srv
  snap retention explain web1:/srv --keep-daily 14 --keep-yearly 3`,
		Args:        between(0, 1, "at most one source"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			p, given, err := f.policy()
			if err != nil {
				return err
			}
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.explain(c.Context(), r, repo.Filter{Sources: args}, p, given) })
		},
	}
	f.register(c.Flags())
	return c
}

func (a *app) explain(ctx context.Context, r *repo.Repo, filter repo.Filter, p repo.Policy, given bool) error {
	var plan *repo.ForgetPlan
	var without []repo.ForgetSource
	var err error
	o := repo.ForgetPlanOptions{Estimate: true}
	if given {
		plan, err = r.ForgetPlan(ctx, p, filter, o)
	} else {
		plan, without, err = r.ForgetPlanStored(ctx, filter, o)
	}
	if err != nil {
		return err
	}
	if len(plan.Sources)+len(without) == 0 && len(filter.Sources) > 0 {
		return fail(exitNoSnapshot, "%q: no snapshot of this source", filter.Sources[0]).withHint("list the sources with: snap policy show")
	}
	if a.global.json {
		return a.explainJSON(plan, without)
	}
	for i, source := range plan.Sources {
		if i > 0 {
			a.printf("")
		}
		if err := a.explainSource(source); err != nil {
			return err
		}
	}
	for _, source := range without {
		a.printf("%s: all are kept, no policy is stored", term.Name(source.Name))
	}
	return nil
}

func (a *app) explainSource(source repo.ForgetSource) error {
	rows, err := retention.Explain(source.Policy, decisionsOf(source))
	if err != nil {
		return err
	}
	a.printf("%s: %s", term.Name(source.Name), source.Policy)
	table := term.NewTable("", "ID", "Time", "Why", "Until")
	for i, row := range rows {
		verdict := "go"
		if row.Keep {
			verdict = "keep"
		}
		table.Row(verdict, shortID(source.Decisions[i].Record), row.Time, row.Why, row.Until)
	}
	return table.Write(a.out)
}

func decisionsOf(source repo.ForgetSource) []retention.Decision {
	out := make([]retention.Decision, len(source.Decisions))
	for i, d := range source.Decisions {
		out[i] = d.Decision
	}
	return out
}

type explainedSource struct {
	Source    string              `json:"source"`
	SourceB64 string              `json:"source_b64,omitempty"`
	SourceID  string              `json:"source_id"`
	Policy    *repo.Policy        `json:"policy"` // null if none is stored
	Snapshots []explainedSnapshot `json:"snapshots"`
}

type explainedSnapshot struct {
	ID      string             `json:"id"`
	ShortID string             `json:"short_id"`
	Time    time.Time          `json:"time"`
	Keep    bool               `json:"keep"`
	Reasons []retention.Reason `json:"reasons"`
	Why     string             `json:"why"`
	Until   *time.Time         `json:"until,omitempty"`
	Outlook retention.Outlook  `json:"outlook,omitempty"` // about, at_least or forever
}

func (a *app) explainJSON(plan *repo.ForgetPlan, without []repo.ForgetSource) error {
	out := make([]explainedSource, 0, len(plan.Sources)+len(without))
	for _, source := range plan.Sources {
		rows, err := retention.Explain(source.Policy, decisionsOf(source))
		if err != nil {
			return err
		}
		x := explainedSource{Source: source.Name, SourceB64: rawName(source.Name), SourceID: source.ID, Policy: &source.Policy}
		for i, d := range source.Decisions {
			s := explainedSnapshot{ID: d.Record.ID.String(), ShortID: shortID(d.Record), Time: d.Record.Time, Keep: d.Keep,
				Reasons: d.Reasons, Why: rows[i].Why, Outlook: d.Outlook}
			if s.Reasons == nil {
				s.Reasons = []retention.Reason{}
			}
			if !d.Until.IsZero() {
				s.Until = &d.Until
			}
			x.Snapshots = append(x.Snapshots, s)
		}
		out = append(out, x)
	}
	for _, source := range without {
		out = append(out, explainedSource{Source: source.Name, SourceB64: rawName(source.Name), SourceID: source.ID, Snapshots: []explainedSnapshot{}})
	}
	return a.jsonLine(out)
}

type simulateFlags struct {
	policy      policyFlags
	years, runs int
	start       string
}

func (a *app) simulateCommand() *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate [SOURCE] [--keep-daily N ...]",
		Short: "Draw what is left of years of backups",
		Long: `Draw a calendar of what is left after years of backups, one or more a day, with forget
run every day: by the policy that is stored for SOURCE, or by the rules given here. No
repository is needed for rules that are given.`,
		Example: `  snap retention simulate --years 2
  snap retention simulate --years 5 --keep-daily 7 --keep-weekly 4 --keep-yearly all
  snap retention simulate web1:/srv --runs-per-day 24`,
		Args:        between(0, 1, "at most one source"),
		Annotations: safe("nothing was changed"),
		RunE:        func(c *cobra.Command, args []string) error { return a.simulate(c.Context(), args, &f) },
	}
	f.policy.register(c.Flags())
	c.Flags().IntVar(&f.years, "years", 1, "how many `years` of backups")
	c.Flags().IntVar(&f.runs, "runs-per-day", 1, "how many `runs` a day, evenly over it")
	c.Flags().StringVar(&f.start, "start", "", "first `day` (default today)")
	return c
}

func (a *app) simulate(ctx context.Context, words []string, f *simulateFlags) error {
	p, given, err := f.policy.policy()
	if err != nil {
		return err
	}
	switch {
	case given && len(words) > 0:
		return usageError("give either a source or rules")
	case len(words) > 0:
		err = a.withRepo(ctx, func(r *repo.Repo) error {
			p, err = a.storedPolicy(ctx, r, words[0])
			return err
		})
	case !given:
		p, err = f.policy.proposal()
		a.notef("no rule was given: this is what snap policy set proposes")
	}
	if err != nil {
		return err
	}
	start := time.Now()
	if f.start != "" {
		if start, err = parseTime(f.start); err != nil {
			return err
		}
		// The day that was named is meant in the zone of the policy.
		start = time.Date(start.Year(), start.Month(), start.Day(), 12, 0, 0, 0, time.UTC)
	}
	s, err := retention.Simulate(p, retention.SimulationOptions{Start: start, Years: f.years, RunsPerDay: f.runs})
	if err != nil {
		return usageError("%v", err)
	}
	if a.global.json {
		return a.jsonLine(newSimulationJSON(s))
	}
	a.out.WriteString(s.Calendar())
	return nil
}

type simulationJSON struct {
	Policy     retention.Policy `json:"policy"`
	Kept       int              `json:"kept"`
	OldestDays int              `json:"oldest_days"`
	Days       []simulatedDay   `json:"days"`
}

type simulatedDay struct {
	Date       string         `json:"date"`
	Kept       int            `json:"kept"` // of this day at the end
	Rule       retention.Rule `json:"rule,omitempty"`
	Waits      bool           `json:"waits,omitempty"`
	KeptThen   int            `json:"kept_then"` // of all days, after this one
	OldestDays int            `json:"oldest_days"`
}

func newSimulationJSON(s retention.Simulation) simulationJSON {
	out := simulationJSON{Policy: s.Policy}
	for i, d := range s.Days {
		night := s.Nights[i]
		out.Days = append(out.Days, simulatedDay{d.Date.Format(time.DateOnly), d.Kept, d.Rule, d.Waits, night.Kept, night.OldestDays})
		out.Kept, out.OldestDays = night.Kept, night.OldestDays
	}
	return out
}
