package pull

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

// backup makes the snapshot.
func (p *Puller) backup(ctx context.Context, c *config.Source, conn *connected, r *Result) error {
	var (
		mu      sync.Mutex // guards r.Problems and touched
		touched []string
	)
	var (
		good       *history // known when the backup begins
		unreadable error    // records of snapshots, which may be of this source
	)
	canaries := newCanaries(c.Guards.Canaries)
	result, err := p.Repo.Backup(ctx, repo.BackupOptions{
		Source: conn.source, SourceName: r.Source, Host: hostOf(c), Paths: slices.Concat(c.Paths, c.Devices), Excludes: slices.Concat(c.Exclude, c.IExclude), Tags: c.Tags,
		Parts: conn.parts, Origin: &conn.origin, Program: p.Program, DryRun: p.DryRun, Force: p.Force, AllowEmpty: true,
		Item: canaries.watch(),
		// What changed is counted from the last good snapshot: a suspicious one would hide it.
		ChooseParent: func(all []*repo.Snapshot, unread error) (*repo.Snapshot, error) {
			good = historyOf(all, r.Source)
			if unread != nil && !repo.IsDamage(unread) {
				return nil, unread
			}
			unreadable = unread
			return good.last, nil
		},
		Problem: func(x repo.Problem) {
			mu.Lock()
			defer mu.Unlock()
			r.problem(fmt.Sprintf("%s: %v", x.Path, x.Err))
		},
		Check: func(s, _ *repo.Snapshot) error {
			if good.last != nil {
				touched = canaries.touched(p.Force)
			}
			r.Guard, r.Why = p.check(ctx, c, s, good, touched, conn)
			if p.Accept {
				r.Guard = guard.None
			}
			if r.Guard != guard.None {
				s.Marks, s.Why = append(s.Marks, snapshot.MarkSuspicious), r.Why
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	r.Snapshot, r.Summary, r.Partial = result.Snapshot, result.Summary, result.Partial
	if r.Snapshot != nil && conn.roots != nil {
		for _, root := range p.loose(ctx, r.Snapshot, c.Paths, conn) {
			r.flaw(fmt.Errorf("%s is a link, and what it leads to is not in the snapshot: name that instead, or as well", root))
		}
	}
	if unreadable != nil {
		r.flaw(fmt.Errorf("compared with the snapshots that can be read; see snap check: %w", unreadable))
	}
	return nil
}

// check asks the guards.
func (p *Puller) check(ctx context.Context, c *config.Source, s *repo.Snapshot, good *history, touched []string, conn *connected) (guard.Class, string) {
	now := lookOf(s)
	now.CanariesTouched = touched
	if p.Force {
		now.New, now.Changed = 0, 0 // all files count as new then, which tells nothing
	}
	var before *guard.Look
	if good.last != nil {
		before = lookOf(good.last)
		before.Added, before.Packed = good.good.added, good.good.packed
		// What a suspicious snapshot has brought is not new any more, but it is what changed since the last good one.
		now.Added, now.Packed = now.Added+good.held.added, now.Packed+good.held.packed
	}
	found := guard.Check(now, before, guard.Limits{Shrink: percent(c.Guards.Shrink, config.DefaultShrink), Changed: percent(c.Guards.Changed, config.DefaultChanged),
		Renamed: percent(c.Guards.Renamed, config.DefaultRenamed), AllowEmpty: is(c.Guards.AllowEmpty), NewHost: is(c.Guards.NewHost)})
	if conn.missing != nil {
		for _, root := range conn.missing() {
			found = append(found, guard.Finding{Class: guard.Missing, Why: "root missing: " + root})
		}
	}
	return guard.Worst(append(found, p.checkRoots(ctx, c, good, conn)...))
}

// checkRoots looks for roots in which nothing is any more.
func (p *Puller) checkRoots(ctx context.Context, c *config.Source, good *history, conn *connected) (found []guard.Finding) {
	if conn.roots == nil || good.last == nil {
		return nil
	}
	add := func(what, root string) {
		if n := p.entries(ctx, good.last, root); n > 0 {
			found = append(found, guard.Finding{Class: guard.Missing, Why: fmt.Sprintf("%s: %s, before a folder with %d entries", what, root, n)})
		}
	}
	if !is(c.Guards.AllowEmpty) {
		for _, root := range conn.roots.Empty() {
			add("root empty", root)
		}
	}
	for _, root := range conn.roots.Links() {
		add("root is a link", root)
	}
	return found
}

// loose returns the roots that are links to what is not in the snapshot either.
func (p *Puller) loose(ctx context.Context, s *repo.Snapshot, roots []string, conn *connected) (loose []string) {
	for _, root := range conn.roots.Links() {
		x, err := p.Repo.Lookup(ctx, s, root)
		if err != nil || x.Kind != tree.Symlink {
			continue // it was a link for a moment
		}
		to := path.Clean(x.Target)
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(root), to)
		}
		if !slices.ContainsFunc(roots, func(r string) bool { return r == to || strings.HasPrefix(to, strings.TrimSuffix(r, "/")+"/") }) {
			loose = append(loose, root)
		}
	}
	return loose
}

// entries returns how many entries a folder has in a snapshot; none if that is not known.
func (p *Puller) entries(ctx context.Context, s *repo.Snapshot, dir string) int {
	list, err := p.Repo.ReadDir(ctx, s, dir)
	if err != nil { // it was no folder, or the snapshot is damaged, which others tell
		return 0
	}
	return len(list)
}

// lookOf returns a snapshot in figures. Streams are no files where there are others: they come, whatever has become of the files.
func lookOf(s *repo.Snapshot) *guard.Look {
	l := &guard.Look{}
	if x := s.Summary; x != nil {
		l.Files, l.Bytes, l.Unreadable, l.New, l.Changed, l.Added, l.Packed = x.Files, x.Bytes, x.Unreadable, x.FilesNew, x.FilesChanged, x.DataAdded, x.DataAddedPacked
	}
	if n := streams(s); n < len(s.Parts) {
		l.Files = max(0, l.Files-int64(n))
	}
	if s.Origin != nil {
		l.Machine, l.Mounts = string(s.Origin.Machine), s.Origin.Mounts
	}
	return l
}

// streams returns how many parts of a snapshot are streams.
func streams(s *repo.Snapshot) (n int) {
	for _, part := range s.Parts {
		if part.Kind == snapshot.PartStream {
			n++
		}
	}
	return n
}

func percent(p *config.Percent, otherwise float64) float64 {
	if p == nil {
		return otherwise
	}
	return float64(*p)
}

// hostOf returns the host label of a source's snapshots: the server's word, not the source's.
func hostOf(c *config.Source) string {
	if c.Host != "" {
		return c.Host
	}
	if c.Address == "" {
		name, err := os.Hostname()
		if err != nil {
			return ""
		}
		return name
	}
	if a, err := sshconn.ParseAddress(c.Address); err == nil {
		return a.Host
	}
	return c.Address
}
