package pull

import (
	"context"
	"errors"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/repo"
)

// forget lets go of what the policy does not keep. A suspicious newest snapshot holds everything.
func (p *Puller) forget(ctx context.Context, c *config.Source, r *Result) error {
	if p.DryRun || r.Guard != guard.None {
		return nil
	}
	policy, err := p.policy(ctx, c, r.Source)
	if err != nil || policy == nil {
		return err
	}
	plan, err := p.Repo.ForgetPlan(ctx, *policy, repo.Filter{Sources: []string{r.Source}}, repo.ForgetPlanOptions{})
	if err != nil {
		return err
	}
	ids := plan.Remove()
	if len(ids) == 0 {
		return nil
	}
	if _, err := p.Repo.Forget(ctx, ids, repo.ForgetOptions{}); err != nil {
		return err
	}
	r.Forgot = len(ids)
	return nil
}

// policy returns what to keep of a source: by the configuration, or as stored in the repository; nil for all.
func (p *Puller) policy(ctx context.Context, c *config.Source, name string) (*repo.Policy, error) {
	if k := c.Keep; k != nil {
		return &repo.Policy{KeepLast: k.Last, KeepHourly: k.Hourly, KeepDaily: k.Daily, KeepWeekly: k.Weekly, KeepMonthly: k.Monthly, KeepYearly: k.Yearly}, nil
	}
	stored, err := p.Repo.Policy(ctx, snapshot.SourceIDOf(name))
	if errors.Is(err, repo.ErrNoPolicy) {
		return nil, nil
	}
	return &stored, err
}
