package main

import (
	"context"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type findFlags struct {
	sel            selection
	snapshots      []string
	oldest, newest string
	ignoreCase     bool
	long           bool
}

func (a *app) findCommand() *cobra.Command {
	var f findFlags
	c := &cobra.Command{
		Use:     "find PATTERN...",
		GroupID: "read",
		Short:   "Find files in all snapshots",
		Long: `Find files in snapshots by name.

A pattern without a slash is compared with names, one with a slash with paths:
* stands for any characters but a slash, ? for one, [a-z] for one of these, and
** for any folders between.`,
		Example: `  snap find '*.conf'
  snap find -l --host web1 '/etc/**/nginx.conf'
  snap find --snapshot latest --ignore-case 'readme*'
  snap find --newest 2026-03-01 --oldest 2026-02-01 report.odt`,
		Args:        between(1, -1, "at least one pattern"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.find(c.Context(), r, args, &f) })
		},
	}
	c.Flags().StringArrayVarP(&f.snapshots, "snapshot", "s", nil, "only in this `snapshot` (repeatable)")
	c.Flags().StringVarP(&f.oldest, "oldest", "O", "", "only files changed at this `time` or later")
	c.Flags().StringVarP(&f.newest, "newest", "N", "", "only files changed at this `time` or before")
	c.Flags().BoolVarP(&f.ignoreCase, "ignore-case", "i", false, "upper and lower case alike")
	c.Flags().BoolVarP(&f.long, "long", "l", false, "print type, permissions, owner, size and time too")
	f.sel.register(c.Flags())
	return c
}

type findResult struct {
	Hits     int        `json:"hits"`
	Snapshot string     `json:"snapshot"`
	Matches  []nodeJSON `json:"matches"`
}

func (a *app) find(ctx context.Context, r *repo.Repo, patterns []string, f *findFlags) error {
	m, err := newMatcher(patterns, f)
	if err != nil {
		return err
	}
	all, err := a.some(ctx, r, f.snapshots, f.sel.filter())
	if err != nil {
		return err
	}
	results := []findResult{}
	for _, s := range all {
		found := findResult{Snapshot: s.ID.String()}
		err := r.Walk(ctx, s, "", func(dir string, entries []repo.Entry) error {
			for i := range entries {
				if x := &entries[i]; m.match(dir, x) {
					a.findHit(s, &found, below(dir, x.Name), x, f.long)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if found.Hits > 0 {
			results = append(results, found)
		}
	}
	return a.findEnd(results)
}

// findHit prints a file that was found, or keeps it for JSON.
func (a *app) findHit(s *repo.Snapshot, found *findResult, path string, x *repo.Entry, long bool) {
	if found.Hits++; a.global.json {
		found.Matches = append(found.Matches, newNode(path, x))
		return
	}
	if found.Hits == 1 {
		a.printf("in snapshot %s of %s:", shortID(s), s.Time.Local().Format(time.DateTime))
	}
	line := term.Name(path)
	if long {
		line = longLine(path, x)
	}
	a.printf("%s", line)
}

func (a *app) findEnd(results []findResult) error {
	if a.global.json {
		return a.jsonLine(results)
	}
	if len(results) == 0 {
		a.notef("nothing found")
	}
	return nil
}

// matcher says which entries are wanted.
type matcher struct {
	names          []string       // patterns without a slash
	paths          []*filter.List // one for each pattern with one
	fold           bool
	oldest, newest time.Time
}

func newMatcher(patterns []string, f *findFlags) (*matcher, error) {
	m := &matcher{fold: f.ignoreCase}
	for _, p := range patterns {
		if m.fold {
			p = strings.ToLower(p)
		}
		if !strings.Contains(p, "/") {
			if _, err := path.Match(p, ""); err != nil {
				return nil, usageError("%q is no pattern", p)
			}
			m.names = append(m.names, p)
			continue
		}
		list, err := filter.Compile([]string{p}, filter.Options{FoldCase: m.fold})
		if err != nil {
			return nil, usageError("%v", err)
		}
		m.paths = append(m.paths, list)
	}
	var err error
	if f.oldest != "" {
		if m.oldest, err = parseTime(f.oldest); err != nil {
			return nil, err
		}
	}
	if f.newest != "" {
		m.newest, err = parseTime(f.newest)
	}
	return m, err
}

func (m *matcher) match(dir string, x *repo.Entry) bool {
	t := x.ModTime.Std()
	if !m.oldest.IsZero() && t.Before(m.oldest) || !m.newest.IsZero() && t.After(m.newest) {
		return false
	}
	name := x.Name
	if m.fold {
		name = strings.ToLower(name)
	}
	for _, p := range m.names {
		if ok, _ := filepath.Match(p, name); ok {
			return true
		}
	}
	for _, list := range m.paths {
		// What lies in a folder that matched is no hit of its own.
		above, _ := list.MatchPath(dir)
		if hit, _ := list.MatchPath(below(dir, x.Name)); hit && !above {
			return true
		}
	}
	return false
}
