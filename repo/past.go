package repo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

const (
	receivedLimit = 4 << 20     // chunks of a run that are remembered, at about 40 bytes of memory each
	receivedBatch = 1 << 10     // chunks that are noted in the state folder at once
	receivedEvery = time.Second // and how long they wait at most for the next one: a run that is killed has noted the rest
)

// Names that a Source needs that has less to read for what is stored of it.
type (
	// Past is what is stored of a source.
	Past = source.Past
	// Informed is a Source that wants to know about the past.
	Informed = source.Informed
)

// past is the Past of one run. It answers from the snapshots of the source and from what its runs have received, and
// from nothing that only other sources have.
type past struct {
	r      *Repo
	writer *chunks.Writer
	root   pack.ChunkID // of the parent's tree, zero for none
	roots  []pack.ChunkID
	empty  bool

	hashers sync.Pool

	once  sync.Once // makes marks
	marks *index.Marks
	err   error

	mu       sync.Mutex // guards what follows
	received map[pack.ChunkID]struct{}
	journal  *journal
}

// newPast returns the past of the source. Its snapshots are those of all that have the id.
func (r *Repo) newPast(id snapshot.SourceID, all []*Snapshot, root pack.ChunkID, w *chunks.Writer) (*past, error) {
	p := &past{r: r, writer: w, root: root, received: map[pack.ChunkID]struct{}{}}
	key := r.keys.ChunkIDs
	p.hashers.New = func() any { return key.NewHasher() }
	for _, s := range all {
		if s.Source != id {
			continue
		}
		root, err := s.RootID()
		if err != nil {
			return nil, err
		}
		p.roots = append(p.roots, root)
	}
	if r.opts.StateDir != "" {
		p.journal = &journal{path: filepath.Join(r.opts.StateDir, "received", r.ID(), id.String())}
		p.journal.load(func(id pack.ChunkID) {
			if len(p.received) < receivedLimit {
				p.received[id] = struct{}{}
			}
		})
	}
	p.empty = len(p.roots) == 0 && len(p.received) == 0
	return p, nil
}

// Tree implements Past.
func (p *past) Tree(ctx context.Context) (*tree.Cursor, error) {
	if p.root.IsZero() {
		return nil, nil
	}
	return tree.NewCursor(ctx, p.r.load, p.root)
}

// Empty implements Past.
func (p *past) Empty() bool { return p.empty }

// Known implements Past.
func (p *past) Known(ctx context.Context, hash [32]byte) (pack.ChunkID, bool, error) {
	h := p.hashers.Get().(*pack.Hasher)
	id := h.FromHash(pack.KindData, hash)
	p.hashers.Put(h)
	p.mu.Lock()
	_, own := p.received[id]
	p.mu.Unlock()
	if !own {
		marks, err := p.marked(ctx)
		if err != nil {
			return id, false, err
		}
		own = marks != nil && marks.Marked(id)
	}
	return id, own && p.writer.Has(id), nil
}

// marked returns the chunks that the source's snapshots use, as marks on the index, nil if there are none. They are
// collected when they are first asked for.
func (p *past) marked(ctx context.Context) (*index.Marks, error) {
	p.once.Do(func() {
		if len(p.roots) == 0 {
			return
		}
		marks := p.r.set.NewMarks()
		walker := prune.NewWalker(p.r.load)
		p.err = walker.Walk(ctx, p.roots, func(ids []pack.ChunkID) { marks.Mark(ids, nil) })
		if p.err != nil {
			marks.Close()
			return
		}
		if err := walker.Broken(); err != nil {
			p.r.log.Warn("a page of an earlier snapshot cannot be read: what only it names is fetched again", "error", err)
		}
		p.marks = marks
	})
	return p.marks, p.err
}

// Saved implements Past.
func (p *past) Saved(id pack.ChunkID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.received[id]; ok || len(p.received) >= receivedLimit {
		return
	}
	p.received[id] = struct{}{}
	if p.journal == nil {
		return
	}
	if err := p.journal.add(id); err != nil {
		p.r.log.Warn("what was received is not noted: an interrupted run fetches it again", "error", err)
		p.journal = nil
	}
}

// close ends the past. committed says that a snapshot has it all by now.
func (p *past) close(committed bool) {
	if p.marks != nil {
		p.marks.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.journal != nil {
		p.journal.close(committed)
	}
}

// journal is a file in the state folder with the ids of the chunks that an unfinished run has received, 16 bytes each. It
// only saves a transfer: whether a chunk is stored is looked up in the index. An incomplete id at its end is passed over.
type journal struct {
	path string
	file *os.File
	buf  []byte
	last time.Time // of a flush; of the system's clock, since nothing depends on it
}

// load calls fn with each id. A journal that cannot be read is none.
func (j *journal) load(fn func(pack.ChunkID)) {
	f, err := os.Open(j.path)
	if err != nil {
		return
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for range receivedLimit {
		var id pack.ChunkID
		if err := binary.Read(in, binary.LittleEndian, &id); err != nil {
			return
		}
		fn(id)
	}
}

func (j *journal) add(id pack.ChunkID) error {
	j.buf = append(j.buf, id[:]...)
	if len(j.buf) < receivedBatch*len(id) && time.Since(j.last) < receivedEvery {
		return nil
	}
	j.last = time.Now()
	return j.flush()
}

func (j *journal) flush() error {
	if len(j.buf) == 0 {
		return nil
	}
	if j.file == nil {
		if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		end, err := f.Seek(0, io.SeekEnd)
		if err == nil {
			_, err = f.Seek(end-end%int64(len(pack.ChunkID{})), io.SeekStart)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		j.file = f
	}
	_, err := j.file.Write(j.buf)
	j.buf = j.buf[:0]
	return err
}

// close keeps the journal for the next run, or removes it.
func (j *journal) close(remove bool) {
	if !remove {
		_ = j.flush() // it only saves a transfer
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	if !remove {
		return
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The next run takes the ids for known if they are stored, which they are.
		return
	}
}
