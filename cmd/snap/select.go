package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/pflag"
)

func quotedPlace(p place) string { return term.Name(p.location) }

// selection are the flags that select snapshots.
type selection struct {
	hosts, tags, paths, sources []string
}

func (s *selection) register(f *pflag.FlagSet) { s.registerShort(f, "H") }

// registerShort gives --host another letter, or none.
func (s *selection) registerShort(f *pflag.FlagSet, host string) {
	f.StringArrayVarP(&s.hosts, "host", host, nil, "only snapshots of this `host` (repeatable)")
	f.StringArrayVar(&s.tags, "tag", nil, "only snapshots with these `tag[,tag...]`; '' stands for those without tags (repeatable)")
	f.StringArrayVar(&s.paths, "path", nil, "only snapshots of this `path` (repeatable)")
	f.StringArrayVar(&s.sources, "source", nil, "only snapshots of this `source`, a name or id (repeatable)")
}

func (s *selection) filter() repo.Filter {
	f := repo.Filter{Hosts: s.hosts, Sources: s.sources}
	for _, p := range s.paths {
		if filepath.IsAbs(p) {
			p = filepath.Clean(p)
		}
		f.Paths = append(f.Paths, p)
	}
	for _, list := range s.tags {
		f.Tags = append(f.Tags, splitTags(list))
	}
	return f
}

func splitTags(list string) []string {
	var tags []string
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t != "" {
			tags = append(tags, t)
		}
	}
	return tags
}

// some returns the snapshots that words stand for, or all that the filter selects if there is
// no word.
func (a *app) some(ctx context.Context, r *repo.Repo, words []string, f repo.Filter) ([]*repo.Snapshot, error) {
	if len(words) == 0 {
		return a.list(ctx, r, f)
	}
	var out []*repo.Snapshot
	seen := map[repo.SnapshotID]bool{}
	for _, word := range words {
		s, err := r.Find(ctx, word, f)
		if err != nil {
			return nil, err
		}
		if !seen[s.ID] {
			out = append(out, s)
		}
		seen[s.ID] = true
	}
	return out, nil
}

// list returns the snapshots that the filter selects. Damaged ones are warned of, as long as
// others can be read: the command ends with unreadError then.
func (a *app) list(ctx context.Context, r *repo.Repo, f repo.Filter) ([]*repo.Snapshot, error) {
	all, err := r.Snapshots(ctx, f)
	if err != nil && (len(all) == 0 || ctx.Err() != nil) {
		return nil, err
	}
	if err != nil {
		a.warn(fmt.Sprintf("some snapshots cannot be read: %v", err))
		a.mu.Lock()
		a.unread = err
		a.mu.Unlock()
	}
	return all, nil
}

// unreadError says at the end that a command did not see all snapshots.
func (a *app) unreadError() error {
	if a.unread == nil {
		return nil
	}
	a.safe = "" // the message says what was done
	code := exitPartial
	if repo.IsDamage(a.unread) {
		code = exitDamage
	}
	return fail(code, "some snapshots cannot be read; the rest is shown, or was done").withHint("find out how much is affected: snap check; what can be mended is by: snap repair")
}

// parseTime parses what --time may be.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError("%q is no time", s).withHint(`write it as "2006-01-02 15:04:05"`)
}

// splitPath cuts SNAPSHOT:PATH.
func splitPath(word string) (snapshot, path string) {
	snapshot, path, ok := strings.Cut(word, ":")
	if !ok {
		return word, ""
	}
	// A time of day has colons too: the path begins behind the first one that a slash follows.
	if i := strings.Index(word, ":/"); i >= 0 {
		return word[:i], word[i+1:]
	}
	return snapshot, path
}
