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

// LastGood returns the last snapshot of each configured source that is not suspicious, of those that can be read: one that is damaged
// keeps nobody from the next.
func (p *Puller) LastGood(ctx context.Context) (map[string]*repo.Snapshot, error) {
	all, err := p.Repo.Snapshots(ctx, repo.Filter{})
	if err != nil && !repo.IsDamage(err) {
		return nil, err
	}
	if err != nil && p.Logger != nil {
		p.Logger.Warn("some snapshots cannot be read", "error", err)
	}
	last := map[string]*repo.Snapshot{}
	for name, h := range histories(all) {
		if _, ours := p.Config.Sources[name]; ours && h.last != nil {
			last[name] = h.last
		}
	}
	return last, nil
}

// history is what the snapshots of a source tell.
type history struct {
	last *repo.Snapshot // the last good one: not suspicious; nil if there is none
	good data           // that all good ones brought
	held data           // that suspicious ones brought since the last good one
}

// data is bytes of file data that were new, and what was stored of them.
type data struct{ added, packed int64 }

func (d *data) add(s *repo.Snapshot) {
	if s.Summary != nil {
		d.added, d.packed = d.added+s.Summary.DataAdded, d.packed+s.Summary.DataAddedPacked
	}
}

// histories sorts snapshots by the names of their sources.
func histories(all []*repo.Snapshot) map[string]*history {
	out := map[string]*history{}
	of := func(s *repo.Snapshot) *history {
		h := out[string(s.SourceName)]
		if h == nil {
			h = &history{}
			out[string(s.SourceName)] = h
		}
		return h
	}
	for _, s := range all {
		if s.HasMark(snapshot.MarkSuspicious) {
			continue
		}
		h := of(s)
		if h.last == nil || h.last.Sequence < s.Sequence {
			h.last = s
		}
		h.good.add(s)
	}
	for _, s := range all {
		if h := of(s); s.HasMark(snapshot.MarkSuspicious) && (h.last == nil || h.last.Sequence < s.Sequence) {
			h.held.add(s)
		}
	}
	return out
}

// historyOf returns what the snapshots of a source, among all there are, tell.
func historyOf(all []*repo.Snapshot, name string) *history {
	f := repo.Filter{Sources: []string{name}}
	own := slices.DeleteFunc(slices.Clone(all), func(s *repo.Snapshot) bool { return !f.Match(s) })
	if h := histories(own)[name]; h != nil {
		return h
	}
	return &history{}
}
