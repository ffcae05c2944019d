package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/snapkeep/snap/internal/snapshot"
)

// ErrNoPolicy says that no policy is stored for a source.
var ErrNoPolicy = errors.New("no policy is stored")

// Source finds a source by its name, or by its id in 32 hex digits if there is a snapshot or policy of it. Of another name there is
// no snapshot yet: known reports whether there is.
func (r *Repo) Source(ctx context.Context, word string) (id SourceID, name string, known bool, err error) {
	all, err := r.allSnapshots(ctx)
	if err != nil && len(all) == 0 {
		return id, "", false, err
	}
	for _, s := range all {
		if s.Source.String() == word || string(s.SourceName) == word {
			return s.Source, string(s.SourceName), true, nil
		}
	}
	settings, err := r.Settings(ctx)
	if err != nil {
		return id, "", false, err
	}
	if id.UnmarshalText([]byte(word)) == nil {
		if p, ok := settings.Policies[id]; ok {
			return id, string(p.Name), false, nil
		}
	}
	return snapshot.SourceIDOf(word), word, false, nil
}

// SetPolicy stores what to keep of a source.
func (r *Repo) SetPolicy(ctx context.Context, id SourceID, name string, p Policy) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	// What is stored is what comes back, with the zone that holds.
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	_, err = r.UpdateSettings(ctx, func(s *Settings) error {
		s.Policies[id] = StoredPolicy{Name: snapshot.Bytes(name), Keep: p}
		return nil
	})
	return err
}

// RemovePolicy removes the policy of a source: its snapshots are not forgotten by rule any more. The error wraps ErrNoPolicy if
// there is none.
func (r *Repo) RemovePolicy(ctx context.Context, id SourceID) error {
	removed := false
	_, err := r.UpdateSettings(ctx, func(s *Settings) error {
		if _, ok := s.Policies[id]; !ok && !removed {
			return ErrNoPolicy
		}
		delete(s.Policies, id)
		removed = true
		return nil
	})
	return err
}

// Policy returns what is kept of a source. The error wraps ErrNoPolicy if no policy is stored.
func (r *Repo) Policy(ctx context.Context, id SourceID) (Policy, error) {
	s, err := r.Settings(ctx)
	if err != nil {
		return Policy{}, err
	}
	p, ok := s.Policies[id]
	if !ok {
		return Policy{}, fmt.Errorf("source %s: %w", id, ErrNoPolicy)
	}
	return p.Keep, nil
}

// ForgetPlanStored decides like ForgetPlan, by the policy that is stored for each source. Sources without one are left alone
// and returned beside the plan, which has no Policy of its own.
func (r *Repo) ForgetPlanStored(ctx context.Context, f Filter, o ForgetPlanOptions) (plan *ForgetPlan, without []ForgetSource, err error) {
	defer r.use()()
	settings, err := r.Settings(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := r.allSnapshots(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("plan what to forget: %w", err)
	}
	r.plannedOf(all, func(*Snapshot) bool { return true })
	var order []SourceID
	bySource := map[SourceID][]*Snapshot{}
	for _, s := range matching(all, f) {
		if bySource[s.Source] == nil {
			order = append(order, s.Source)
		}
		bySource[s.Source] = append(bySource[s.Source], s)
	}
	plan = &ForgetPlan{}
	for _, id := range order {
		stored, ok := settings.Policies[id]
		if !ok {
			without = append(without, ForgetSource{ID: id.String(), Name: string(bySource[id][0].SourceName)})
			continue
		}
		part, err := r.planFor(stored.Keep, bySource[id], o)
		if err != nil {
			return nil, nil, err
		}
		plan.Sources = append(plan.Sources, part.Sources...)
		plan.Unmatched = append(plan.Unmatched, part.Unmatched...)
	}
	return plan, without, nil
}
