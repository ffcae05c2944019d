package pull

import (
	"context"
	"slices"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/repo"
)

// grace lets a daily run that begins a little early not slip by a day. It is at most half of the interval.
const grace = 15 * time.Minute

// Due returns the sources that are due, in order of their names: whose last good snapshot is older than they ask for, or
// bears a time that is yet to come.
func (p *Puller) Due(ctx context.Context) ([]string, error) {
	last, err := p.LastGood(ctx)
	if err != nil {
		return nil, err
	}
	var due []string
	for name, c := range p.Config.Sources {
		every := c.Every.Or(config.DefaultEvery)
		s := last[name]
		if s == nil || p.now().Sub(s.Time) >= every-min(grace, every/2) || s.Time.After(p.now()) {
			due = append(due, name)
		}
	}
	slices.Sort(due)
	return due, nil
}

// LastGood returns the last snapshot of each configured source that is not suspicious.
func (p *Puller) LastGood(ctx context.Context) (map[string]*repo.Snapshot, error) {
	all, err := p.Repo.Snapshots(ctx, repo.Filter{})
	if err != nil {
		return nil, err
	}
	last := map[string]*repo.Snapshot{}
	for name, h := range histories(all) {
		if _, ours := p.Config.Sources[name]; ours {
			last[name] = h.last
		}
	}
	return last, nil
}

// history is what the good snapshots of a source tell: those that are not suspicious.
type history struct {
	last          *repo.Snapshot // nil if there is none
	added, packed int64          // bytes of file data that all of them brought, and what was stored of it
}

// histories sorts snapshots by the names of their sources.
func histories(all []*repo.Snapshot) map[string]*history {
	out := map[string]*history{}
	for _, s := range all {
		if s.HasMark(snapshot.MarkSuspicious) {
			continue
		}
		h := out[string(s.SourceName)]
		if h == nil {
			h = &history{}
			out[string(s.SourceName)] = h
		}
		if h.last == nil || h.last.Sequence < s.Sequence {
			h.last = s
		}
		if s.Summary != nil {
			h.added, h.packed = h.added+s.Summary.DataAdded, h.packed+s.Summary.DataAddedPacked
		}
	}
	return out
}

// history returns what the good snapshots of a source tell.
func (p *Puller) history(ctx context.Context, name string) (*history, error) {
	all, err := p.Repo.Snapshots(ctx, repo.Filter{Sources: []string{name}})
	if err != nil {
		return nil, err
	}
	if h := histories(all)[name]; h != nil {
		return h, nil
	}
	return &history{}, nil
}
