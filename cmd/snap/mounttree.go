package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/repo"
)

// mountRefresh is how old the list of snapshots may be.
const mountRefresh = time.Minute

// mountTime is how snapshots are named by time.
const mountTime = "2006-01-02T15:04:05"

// mounted is a repository that is shown as folders.
type mounted struct {
	app    *app
	repo   *repo.Repo
	ctx    context.Context // of the whole mount: files stay open between calls
	filter repo.Filter

	listings listings

	mu     sync.Mutex // guards what follows
	loaded time.Time
	top    *virtual
}

// virtual is a folder that is in no snapshot, or, if it has a snapshot, the place where
// a path of it begins. Once made it does not change.
type virtual struct {
	children map[string]*virtual
	snapshot *repo.Snapshot
	path     string
	link     string
}

// tree returns the folders above the snapshots, made anew if they are old.
func (m *mounted) tree() *virtual {
	m.mu.Lock()
	old := time.Since(m.loaded) > mountRefresh
	m.mu.Unlock()
	if old {
		if err := m.refresh(); err != nil {
			m.app.warn(fmt.Sprintf("list snapshots: %v", err))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.top
}

func (m *mounted) refresh() error {
	all, err := m.app.list(m.ctx, m.repo, m.filter)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded = time.Now()
	if err != nil && m.top != nil {
		return err
	}
	m.top = arrange(all)
	return err
}

// at returns the folder that names lead to, nil if there is none.
func (v *virtual) at(names []string) *virtual {
	for _, n := range names {
		if v = v.children[n]; v == nil {
			return nil
		}
	}
	return v
}

// arrange makes the folders for snapshots, which are ordered by time.
func arrange(all []*repo.Snapshot) *virtual {
	top := newVirtual()
	for _, name := range []string{"paths", "snapshots", "ids", "hosts", "tags"} {
		top.folder(name)
	}
	for _, s := range all {
		name := top.folder("snapshots").add(s, "")
		top.folder("ids").children[shortID(s)] = &virtual{snapshot: s}
		top.folder("hosts").folder(safeName(string(s.Host))).add(s, "")
		for _, t := range s.Tags {
			top.folder("tags").folder(safeName(t)).add(s, "")
		}
		for _, p := range s.Paths {
			top.addPath(s, string(p))
		}
		top.children["latest"] = &virtual{link: "snapshots/" + name}
	}
	return top
}

// addPath shows a path of a snapshot below paths.
func (v *virtual) addPath(s *repo.Snapshot, path string) {
	at := v.folder("paths")
	for name := range strings.SplitSeq(path, "/") {
		if name != "" {
			at = at.folder(safeName(name))
		}
	}
	at.add(s, strings.Trim(path, "/"))
}

func newVirtual() *virtual { return &virtual{children: map[string]*virtual{}} }

// folder returns the folder of a name, which it makes if need be.
func (v *virtual) folder(name string) *virtual {
	child := v.children[name]
	if child == nil || child.children == nil {
		child = newVirtual()
		v.children[name] = child
	}
	return child
}

// add shows a snapshot under its time and returns the name. Of several of one second all but the
// first have their id in the name too.
func (v *virtual) add(s *repo.Snapshot, path string) string {
	name := s.Time.Local().Format(mountTime)
	if v.children[name] != nil {
		name += "-" + shortID(s)
	}
	v.children[name] = &virtual{snapshot: s, path: path}
	return name
}

// safeName makes a file name of a word.
func safeName(word string) string {
	word = strings.NewReplacer("/", "_", "\x00", "_").Replace(word)
	if word == "" || word == "." || word == ".." {
		return "_" + word
	}
	return word
}
