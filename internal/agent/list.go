package agent

import (
	"context"
	"sort"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// listPart is how many entries of a directory are sent at once.
const listPart = 4 << 10

// list answers for directories.
func (s *session) list(ctx context.Context, m *protocol.ListRequest, a *answer) error {
	var digests tree.Digester
	for i := range m.Dirs {
		if err := s.listDir(ctx, &m.Dirs[i], &digests, a); err != nil {
			return err
		}
		if err := a.grown(); err != nil {
			return err
		}
	}
	return nil
}

// listDir answers for one directory. Its error is one of the connection, or of the context.
func (s *session) listDir(ctx context.Context, q *protocol.DirQuestion, digests *tree.Digester, a *answer) error {
	d, err := s.dirs.acquire(ctx, q.Path)
	if err != nil {
		a.buf = protocol.AppendDirAnswer(a.buf, &protocol.DirAnswer{Status: protocol.DirError, Err: protocol.ErrorOf(err)})
		return ctx.Err()
	}
	defer s.dirs.release(d)
	stats, problems, err := d.List(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && len(problems) == 0 && asKnown(stats, q.Runs, digests) {
		a.buf = protocol.AppendDirAnswer(a.buf, &protocol.DirAnswer{Status: protocol.DirSame})
		return nil
	}
	out := protocol.DirAnswer{Status: protocol.DirLast}
	if err != nil {
		out.Status, out.Err = protocol.DirError, protocol.ErrorOf(err)
	}
	for _, p := range problems {
		out.Problems = append(out.Problems, protocol.ProblemOf(p))
	}
	for len(stats) > listPart {
		part := protocol.DirAnswer{Status: protocol.DirPart}
		part.Entries, part.Problems = describeAll(ctx, d, stats[:listPart])
		stats = stats[listPart:]
		a.buf = protocol.AppendDirAnswer(a.buf, &part)
		if err := a.grown(); err != nil {
			return err
		}
	}
	var more []protocol.DirProblem
	out.Entries, more = describeAll(ctx, d, stats)
	out.Problems = append(out.Problems, more...)
	a.buf = protocol.AppendDirAnswer(a.buf, &out)
	return ctx.Err()
}

// asKnown reports whether the entries are those that the server knows.
func asKnown(stats []tree.Stat, runs []protocol.KnownRun, digests *tree.Digester) bool {
	for i := range runs {
		part := stats
		if i+1 < len(runs) {
			n := sort.Search(len(stats), func(k int) bool { return stats[k].Name >= runs[i+1].First })
			part, stats = stats[:n], stats[n:]
		}
		if run := &runs[i]; run.Digest.IsVoid() || run.Entries != len(part) || digests.Stats(part) != run.Digest {
			return false
		}
	}
	return len(runs) > 0
}

// describeAll makes entries of stats, whole ones but for regular files. What could not be described becomes a problem
// beside its entry.
func describeAll(ctx context.Context, d source.Dir, stats []tree.Stat) (entries []tree.Entry, problems []protocol.DirProblem) {
	entries = make([]tree.Entry, len(stats))
	for i := range stats {
		x := &entries[i]
		x.Stat = stats[i]
		if x.Kind == tree.Regular {
			continue
		}
		if err := d.Describe(ctx, &x.Stat, x, nil); err != nil {
			problems = append(problems, protocol.DirProblem{Name: x.Name, Kind: x.Kind, Err: protocol.ErrorOf(err)})
		}
	}
	return entries, problems
}
