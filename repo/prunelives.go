package repo

import (
	"context"

	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/pack"
)

// lives marks what the live snapshots need by how long they are going to stay. m is what all of them need.
func (p *pruner) lives(ctx context.Context, v *view, m *marking) (*prune.Lives, error) {
	roots := map[prune.Stream][]pack.ChunkID{}
	for id, stream := range p.streams(ctx, v) {
		root, err := v.snapshots[id].RootID()
		if err != nil {
			return nil, err
		}
		roots[stream] = append(roots[stream], root)
	}
	lives := prune.NewLives(m.marks)
	walker := prune.NewWalker(p.r.load) // goes through what they share once
	for stream := prune.Current; stream < prune.Short; stream++ {
		marks := p.r.set.NewMarks()
		lives.By(stream, marks)
		err := walker.Walk(ctx, roots[stream], func(ids []pack.ChunkID) { marks.Mark(ids, nil) })
		if err != nil {
			lives.Close()
			return nil, err
		}
	}
	return lives, nil
}

// streams tells how long the live snapshots are going to stay: by the policy of their source, or by the default policy, which is a guess that costs
// no more than some copying if it is wrong.
func (p *pruner) streams(ctx context.Context, v *view) map[pack.ID]prune.Stream {
	policies := map[SourceID]StoredPolicy{}
	if settings, err := p.r.Settings(ctx); err == nil {
		policies = settings.Policies
	}
	out := map[pack.ID]prune.Stream{}
	bySource := map[SourceID][]*Snapshot{}
	for id, s := range v.snapshots {
		if v.forgotten(id) {
			out[id] = prune.StreamFor(v.trash[id].Add(p.o.GraceTrash).Sub(p.now))
		} else {
			bySource[s.Source] = append(bySource[s.Source], s)
		}
	}
	for source, all := range bySource {
		policy := DefaultPolicy()
		if stored, ok := policies[source]; ok {
			policy = stored.Keep
		}
		p.streamsOf(policy, all, out)
	}
	return out
}

// streamsOf adds to out how long the snapshots of one source are going to stay.
func (p *pruner) streamsOf(policy Policy, all []*Snapshot, out map[pack.ID]prune.Stream) {
	latest := all[0]
	for _, s := range all {
		if out[s.ID] = prune.Long; s.Sequence > latest.Sequence {
			latest = s
		}
	}
	if plan, err := p.r.planFor(policy, all, ForgetPlanOptions{Estimate: true}); err == nil {
		for _, source := range plan.Sources {
			for _, d := range source.Decisions {
				out[d.Record.ID] = p.streamOf(&d.Decision)
			}
		}
	}
	out[latest.ID] = prune.Current
}

// streamOf returns the stream of a snapshot about which a policy has decided. A forgotten one stays in the trash for a while.
func (p *pruner) streamOf(d *retention.Decision) prune.Stream {
	switch {
	case !d.Keep:
		return prune.StreamFor(p.o.GraceTrash)
	case d.Outlook == retention.OutlookAbout || d.Outlook == retention.OutlookAtLeast:
		return prune.StreamFor(d.Until.Add(p.o.GraceTrash).Sub(p.now))
	}
	return prune.Long
}
