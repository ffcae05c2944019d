package pull

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

// granularity is how far times of files are off: nothing is called missed that changed as the snapshot began.
const granularity = 2 * time.Second

// ErrNothingToVerify says that a source has no snapshot, or none with files.
var ErrNothingToVerify = errors.New("there is no snapshot with files to compare with")

// Verification is what the comparison of a source with its last good snapshot has shown.
type Verification struct {
	Source   string
	Snapshot *repo.Snapshot
	Files    int64 // regular files on the source
	Compared int64 // of these, by content, though they looked unchanged
	// Silent are files whose content is not the one in the snapshot though size, times, inode and mode are: decay on the
	// source, or somebody who hides a change.
	Silent []string
	// Missed are files that are older than the snapshot and not in it.
	Missed []string
	// New, Changed and Gone count what has happened since the snapshot.
	New, Changed, Gone int64
	Problems           []string // the first of what could not be read
	Uncovered          []string // file systems and databases that are not configured
	In, Out            int64    // bytes on the wire

	mu sync.Mutex // guards Problems while files are read
}

// Bad reports whether something is not as it should be.
func (v *Verification) Bad() bool { return len(v.Silent)+len(v.Missed)+len(v.Problems) > 0 }

// Verify compares a source with its last good snapshot. Everything is looked at; of the files that look unchanged a share
// from 0 to 1, chosen by chance, is hashed where it lies and compared with what is stored. No file data is read from the
// repository, so that a writer key is enough, and nothing is written.
func (p *Puller) Verify(ctx context.Context, name string, share float64) (*Verification, error) {
	c, ok := p.Config.Sources[name]
	if !ok || len(c.Paths)+len(c.Devices) == 0 {
		return nil, ErrNothingToVerify
	}
	last, err := p.LastGood(ctx)
	if err != nil {
		return nil, err
	}
	v := &Verification{Source: name, Snapshot: last[name]}
	if v.Snapshot == nil {
		return nil, ErrNothingToVerify
	}
	files := c
	files.Streams = nil
	conn, err := p.connect(ctx, name, &files)
	if err != nil {
		return nil, err
	}
	err = p.compare(ctx, &c, conn, share, v)
	return v, errors.Join(err, conn.close())
}

func (p *Puller) compare(ctx context.Context, c *config.Source, conn *connected, share float64, v *Verification) error {
	then := v.Snapshot.Time
	if conn.agent != nil {
		then = then.Add(time.Until(conn.agent.Now())) // by the source's clock
	}
	result, err := p.Repo.Backup(ctx, repo.BackupOptions{Source: conn.source, SourceName: v.Source, Parent: v.Snapshot, Program: p.Program, DryRun: true, AllowEmpty: true,
		Reread: sample(share),
		Item:   func(i repo.Item) { v.see(i, tree.TimeOf(then.Add(-granularity))) },
		Problem: func(x repo.Problem) {
			if !x.Changed {
				v.note(x.Path + ": " + x.Err.Error())
			}
		},
	})
	if err != nil {
		return err
	}
	v.Files = result.Summary.Files
	if was := v.Snapshot.Summary; was != nil {
		v.Gone = max(0, was.Files-int64(streams(v.Snapshot))+v.New+int64(len(v.Missed))-v.Files)
	}
	if conn.received != nil {
		v.In, v.Out = conn.received()
	}
	if conn.missing != nil {
		for _, root := range conn.missing() {
			v.note("root missing: " + root)
		}
	}
	if conn.agent == nil {
		return nil
	}
	inventory, err := conn.agent.Inventory(ctx)
	if err == nil {
		v.Uncovered = Uncovered(c, inventory)
	}
	return err
}

// note keeps a problem. It is called from several goroutines.
func (v *Verification) note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, text)
	}
}

// see takes what became of a file.
func (v *Verification) see(i repo.Item, then tree.Time) {
	if i.Kind != tree.Regular {
		return
	}
	switch i.Action {
	case repo.ItemNew:
		if i.Since.Compare(then) < 0 {
			v.Missed = append(v.Missed, "/"+i.Path)
			return
		}
		v.New++
	case repo.ItemModified:
		v.Changed++
	case repo.ItemSilent:
		v.Compared++
		v.Silent = append(v.Silent, "/"+i.Path)
	case repo.ItemReread:
		v.Compared++
	}
}

// sample returns a choice of a share of all paths that nobody can foresee.
func sample(share float64) func(path string) bool {
	seed := maphash.MakeSeed()
	limit := uint64(math.MaxUint64)
	if share < 1 {
		limit = uint64(share * math.MaxUint64)
	}
	return func(path string) bool { return maphash.String(seed, path) <= limit }
}
