package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/tree"
)

// ErrConflict says that merged sources have different things of one name.
var ErrConflict = errors.New("several sources have it")

// Merge returns a source whose tree holds the trees of all sources. A folder that several
// have holds what all of them have in it, and is itself as the first of them has it;
// anything else that several have fails its folder with ErrConflict. Several hard links
// must lie in one source.
func Merge(sources ...Source) Source {
	if len(sources) == 1 {
		return sources[0]
	}
	return merged(slices.Clone(sources))
}

type merged []Source

// Inform tells those of the sources that want to know about the past.
func (m merged) Inform(ctx context.Context, past Past) error {
	for _, s := range m {
		if informed, ok := s.(Informed); ok {
			if err := informed.Inform(ctx, past); err != nil {
				return err
			}
		}
	}
	return nil
}

// ClockOf returns the clock that stamps the files of a source, or nil if that is this machine's.
func ClockOf(s Source) func() time.Time {
	if m, ok := s.(merged); ok {
		for _, s := range m {
			if now := ClockOf(s); now != nil {
				return now
			}
		}
		return nil
	}
	if w, ok := s.(*Watched); ok {
		return ClockOf(w.Source)
	}
	if c, ok := s.(Clocked); ok {
		return c.Now
	}
	return nil
}

// Root opens the tops of all sources.
func (m merged) Root(ctx context.Context) (Dir, error) {
	var dirs []Dir
	for _, s := range m {
		if s == nil {
			return nil, errors.Join(errors.New("no source"), closeAll(dirs))
		}
		d, err := s.Root(ctx)
		if err != nil {
			return nil, errors.Join(err, closeAll(dirs))
		}
		dirs = append(dirs, d)
	}
	return &mergedDir{dirs: dirs}, nil
}

func closeAll(dirs []Dir) error {
	var errs []error
	for _, d := range dirs {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// mergedDir is a folder that several sources have.
type mergedDir struct {
	dirs []Dir

	mu     sync.Mutex // guards owners
	owners map[string][]Dir
}

// List lists the folder in all sources.
func (m *mergedDir) List(ctx context.Context) ([]tree.Stat, []Problem, error) {
	var (
		stats    []tree.Stat
		problems []Problem
		errs     []error
		owners   = map[string][]Dir{}
	)
	for _, d := range m.dirs {
		list, bad, err := d.List(ctx)
		errs = append(errs, err)
		problems = append(problems, bad...)
		for _, st := range list {
			owners[st.Name] = append(owners[st.Name], d)
		}
		stats = append(stats, list...)
	}
	byName := func(a, b tree.Stat) int { return strings.Compare(a.Name, b.Name) }
	slices.SortStableFunc(stats, byName)
	slices.SortStableFunc(problems, func(a, b Problem) int { return byName(a.Stat, b.Stat) })
	for i := 1; i < len(stats); i++ {
		a, b := &stats[i-1], &stats[i]
		if a.Name == b.Name && (a.Kind != tree.Directory || b.Kind != tree.Directory) {
			errs = append(errs, fmt.Errorf("%q: %w", a.Name, ErrConflict))
		}
	}
	stats = slices.CompactFunc(stats, func(a, b tree.Stat) bool { return a.Name == b.Name })
	m.mu.Lock()
	m.owners = owners
	m.mu.Unlock()
	return stats, problems, errors.Join(errs...)
}

// owner returns the folders that have an entry; there is at least one if there is no error.
func (m *mergedDir) owner(st *tree.Stat) ([]Dir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if dirs := m.owners[st.Name]; len(dirs) > 0 {
		return dirs, nil
	}
	return nil, fmt.Errorf("%q was not listed: %w", st.Name, fs.ErrNotExist)
}

// OpenDir opens a folder in all sources that have it.
func (m *mergedDir) OpenDir(ctx context.Context, st *tree.Stat) (Dir, error) {
	owners, err := m.owner(st)
	if err != nil {
		return nil, err
	}
	var dirs []Dir
	for _, owner := range owners {
		d, err := owner.OpenDir(ctx, st)
		if err != nil {
			return nil, errors.Join(err, closeAll(dirs))
		}
		dirs = append(dirs, d)
	}
	if len(dirs) == 1 {
		return dirs[0], nil
	}
	return &mergedDir{dirs: dirs}, nil
}

// Open opens a file in the source that has it.
func (m *mergedDir) Open(ctx context.Context, st *tree.Stat) (File, error) {
	owners, err := m.owner(st)
	if err != nil {
		return nil, err
	}
	return owners[0].Open(ctx, st)
}

// Prefetch lets the source that has the file fetch it, if it can.
func (m *mergedDir) Prefetch(st *tree.Stat) {
	owners, err := m.owner(st)
	if err != nil {
		return
	}
	if p, ok := owners[0].(Prefetcher); ok {
		p.Prefetch(st)
	}
}

// Describe lets the first source that has the entry describe it.
func (m *mergedDir) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f File) error {
	owners, err := m.owner(st)
	if err != nil {
		return err
	}
	return owners[0].Describe(ctx, st, e, f)
}

// Close closes the folder in all sources.
func (m *mergedDir) Close() error { return closeAll(m.dirs) }
