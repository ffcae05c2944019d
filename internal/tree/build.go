package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// Where pages end (docs/format.md section 8.6). An encoder is free in this; these
// numbers keep pages where they are from run to run.
const (
	entryWeight   = 48
	targetWeight  = 32 << 10
	maxWeight     = 128 << 10
	bytesLimit    = 2 << 20 // of names and rare fields, far over what maxWeight leads to
	bytesMost     = 3 << 20 // of these, with the entry that reaches the limit
	longRun       = 256
	innerTarget   = 256
	innerMaxChild = 1_024
)

// SavePage stores a page as a chunk of the kind and returns its id. It must not keep
// page.
type SavePage func(kind pack.Kind, page []byte) (pack.ChunkID, error)

// Builder makes a tree from directories given in path order. It holds one leaf page and
// one inner page a level at a time. A Builder that failed stays failed. It serves one
// goroutine.
type Builder struct {
	save    SavePage
	encoder leafEncoder
	digests Digester
	refsBuf []byte

	runs    []Run
	entries []Entry
	weight  int // of the page, by names
	bytes   int // of the page's names and rare fields
	inRun   int // weight of the last run in this page

	path      string // of the directory added last
	any       bool   // a directory has been added
	ended     bool   // the directory added last is complete
	cutBefore bool   // the page ends before the next entry of this directory

	held     *OldPage // page of an older tree whose first runs were all reused
	heldRuns int
	heldLast bool // the last held run completes its directory

	levels [][]Child
	err    error
}

// NewBuilder returns a Builder that stores pages with save.
func NewBuilder(save SavePage) *Builder {
	return &Builder{save: save, ended: true}
}

// Add adds entries to the directory path: its first ones if path is another than in the
// call before, else the ones that follow. last says that the directory is complete
// with them. The Builder copies the entries but keeps what they point to.
func (b *Builder) Add(path string, entries []Entry, last bool) error {
	return b.add(path, entries, last, 0)
}

// AddUnreadable adds a directory whose entries could not be read, except for those
// given.
func (b *Builder) AddUnreadable(path string, entries []Entry) error {
	return b.add(path, entries, true, RunUnreadable)
}

func (b *Builder) add(path string, entries []Entry, last bool, flags uint8) error {
	if err := b.release(); err != nil {
		return err
	}
	return b.keep(b.addEntries(path, entries, last, flags))
}

// Reuse adds the run of an older tree, whose files did not change, as Add does. If all runs
// of an older page come one after the other the page is taken as it is.
func (b *Builder) Reuse(run OldRun, last bool) error {
	if b.err != nil {
		return b.err
	}
	if b.held != nil && (run.page != b.held || run.number != b.heldRuns) {
		if err := b.release(); err != nil {
			return err
		}
	}
	r := run.Run()
	begins := !b.any || r.Path != b.path
	if b.held == nil {
		if !begins && b.cutBefore {
			if err := b.keep(b.endPage(true)); err != nil {
				return err
			}
		}
		if len(b.runs) > 0 || run.number != 0 {
			return b.keep(b.addOld(run, last))
		}
	}
	fits := begins == (r.Flags&RunContinued == 0) && last == (r.Flags&RunContinues == 0)
	if err := b.checkOrder(r.Path); err != nil || !fits {
		if err == nil {
			if err = b.release(); err == nil {
				err = b.addOld(run, last)
			}
		}
		return b.keep(err)
	}
	b.path, b.any, b.ended, b.cutBefore = r.Path, true, last, false
	b.held, b.heldRuns, b.heldLast = run.page, run.number+1, last
	if b.heldRuns == len(b.held.leaf.Runs) {
		child := b.held.Child
		b.held = nil
		return b.keep(b.addChild(0, child))
	}
	return nil
}

// release adds held runs one by one, because their page cannot be taken whole.
func (b *Builder) release() error {
	if b.err != nil || b.held == nil {
		return b.err
	}
	page, n, lastEnds := b.held, b.heldRuns, b.heldLast
	b.held = nil
	for i := range n {
		r := page.leaf.Runs[i]
		if i == 0 {
			// As before the first held run: it may go on with a directory that
			// began in an earlier page.
			b.any = r.Flags&RunContinued != 0
			b.path, b.ended = r.Path, false
		}
		last := lastEnds
		if i < n-1 {
			last = true // only the last run of a page goes on in the next
		}
		if err := b.keep(b.addOld(OldRun{page, i}, last)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) addOld(run OldRun, last bool) error {
	entries, err := run.Entries()
	if err != nil {
		return err
	}
	return b.addEntries(run.Run().Path, entries, last, 0)
}

func (b *Builder) keep(err error) error {
	if b.err == nil {
		b.err = err
	}
	return b.err
}

func (b *Builder) checkOrder(path string) error {
	if !b.any {
		return nil
	}
	o := ComparePaths(b.path, path)
	if o > 0 || (o == 0) == b.ended {
		return fmt.Errorf("%w: directory %q behind %q", ErrOrder, path, b.path)
	}
	return nil
}

func (b *Builder) addEntries(path string, entries []Entry, last bool, flags uint8) error {
	if b.err != nil {
		return b.err
	}
	if !ValidPath(path) {
		return fmt.Errorf("%w: path %q", ErrOrder, path)
	}
	if err := b.checkOrder(path); err != nil {
		return err
	}
	begins := !b.any || path != b.path
	b.path, b.any, b.ended = path, true, false
	if begins {
		b.cutBefore = false
		b.startRun(path, flags)
	} else if b.cutBefore || len(b.runs) == 0 {
		if err := b.endPage(true); err != nil {
			return err
		}
		b.startRun(path, flags|RunContinued)
	}
	for i := range entries {
		if b.cutBefore || (b.bytes+entryBytes(&entries[i]) > bytesMost && len(b.entries) > 0) {
			if err := b.cut(path, flags); err != nil {
				return err
			}
		}
		if err := b.addEntry(&entries[i]); err != nil {
			return err
		}
	}
	if !last {
		return nil
	}
	b.ended, b.cutBefore = true, false
	w := min(b.inRun, targetWeight)
	if b.weight >= maxWeight || b.bytes >= bytesLimit || nameHash(path) < uint64(w)<<32/targetWeight {
		return b.endPage(false)
	}
	return nil
}

// cut ends the page before the next entry of the directory path. If that is its first one the directory begins in the next page.
func (b *Builder) cut(path string, flags uint8) error {
	run := len(b.runs) - 1
	if b.runs[run].Entries == 0 {
		flags, b.runs = b.runs[run].Flags, b.runs[:run]
	} else {
		flags |= RunContinued
	}
	if err := b.endPage(flags&RunContinued != 0); err != nil {
		return err
	}
	b.startRun(path, flags)
	return nil
}

func (b *Builder) startRun(path string, flags uint8) {
	b.runs = append(b.runs, Run{Path: path, Flags: flags, start: len(b.entries)})
	b.inRun = 0
	b.weight += entryWeight + len(path)
	b.bytes += len(path)
}

func (b *Builder) addEntry(x *Entry) error {
	run := &b.runs[len(b.runs)-1]
	if !ValidName(x.Name) || (run.Entries > 0 && b.entries[len(b.entries)-1].Name >= x.Name) {
		return fmt.Errorf("%w: name %q in %q", ErrOrder, x.Name, run.Path)
	}
	if err := x.check(); err != nil {
		return err
	}
	b.entries = append(b.entries, *x)
	run.Entries++
	if x.Kind == Regular {
		run.Files++
		run.Size += x.Size
	}
	w := entryWeight + len(x.Name)
	b.weight += w
	b.inRun += w
	b.bytes += entryBytes(x)
	full := b.weight >= maxWeight || b.bytes >= bytesLimit
	b.cutBefore = full || (run.Entries > longRun && nameHash(x.Name) < uint64(w)<<32/targetWeight)
	return nil
}

// entryBytes returns how many bytes of a page the names and rare fields of an entry take, at most.
func entryBytes(x *Entry) int {
	n := 64 + len(x.Name) + len(x.User) + len(x.Group) + len(x.Target) + len(x.Problem) + 20*len(x.Parts)
	for _, a := range x.Xattrs {
		n += 6 + len(a.Name) + len(a.Value)
	}
	return n
}

func nameHash(s string) uint64 {
	sum := blake3.Sum256([]byte(s))
	return uint64(binary.LittleEndian.Uint32(sum[:]))
}

// endPage stores the current page, if there is one. inside says that its last directory
// goes on in the next.
func (b *Builder) endPage(inside bool) error {
	if len(b.runs) == 0 {
		return nil
	}
	b.cutBefore = false
	child := Child{Path: b.runs[0].Path, Runs: int64(len(b.runs)), Entries: int64(len(b.entries))}
	if first := b.runs[0]; first.Flags&RunContinued != 0 && first.Entries > 0 {
		child.Name = b.entries[0].Name
	}
	if inside {
		b.runs[len(b.runs)-1].Flags |= RunContinues
	}
	for i := range b.runs {
		r := &b.runs[i]
		if r.Flags&RunUnreadable == 0 {
			r.Digest = b.digests.entries(b.entries[r.start : r.start+r.Entries])
		}
		child.Files += int64(r.Files)
		child.Size += r.Size
	}
	page := b.encoder.encode(b.runs, b.entries)
	if len(page) > MaxPageSize {
		return fmt.Errorf("tree: page of %d bytes at %q is over the limit", len(page), child.Path)
	}
	var err error
	if child.Page, err = b.save(pack.KindTree, page); err != nil {
		return err
	}
	if child.Files > 0 {
		b.refsBuf = encodeRefs(b.refsBuf[:0], b.entries)
		if child.Refs, err = b.save(pack.KindRefs, b.refsBuf); err != nil {
			return err
		}
	}
	clear(b.entries)
	b.runs, b.entries, b.weight, b.bytes, b.inRun = b.runs[:0], b.entries[:0], 0, 0, 0
	return b.addChild(0, child)
}

// addChild adds a page to the inner page of levels[i].
func (b *Builder) addChild(i int, c Child) error {
	if i == len(b.levels) {
		b.levels = append(b.levels, nil)
	}
	b.levels[i] = append(b.levels[i], c)
	if len(b.levels[i]) >= innerMaxChild || nameHash(c.Path+"\x00"+c.Name) < math.MaxUint32/innerTarget {
		return b.endInner(i)
	}
	return nil
}

func (b *Builder) endInner(i int) error {
	children := b.levels[i]
	if len(children) == 0 {
		return nil
	}
	c := Child{Path: children[0].Path, Name: children[0].Name}
	for k := range children {
		c.Runs += children[k].Runs
		c.Entries += children[k].Entries
		c.Files += children[k].Files
		c.Size += children[k].Size
	}
	var err error
	if c.Page, err = b.save(pack.KindTree, encodeInner(nil, i+1, children)); err != nil {
		return err
	}
	b.levels[i] = children[:0]
	if i+1 == maxLevel {
		return errors.New("tree: too many levels")
	}
	return b.addChild(i+1, c)
}

// Finish stores what is left and returns the root page's id. A tree has at least the
// top directory.
func (b *Builder) Finish() (pack.ChunkID, error) {
	if err := b.release(); err != nil {
		return pack.ChunkID{}, err
	}
	if !b.ended || !b.any {
		return pack.ChunkID{}, b.keep(fmt.Errorf("%w: directory %q is not complete", ErrOrder, b.path))
	}
	if err := b.keep(b.endPage(false)); err != nil {
		return pack.ChunkID{}, err
	}
	// The lowest level always becomes an inner page; above it a lone page is the root.
	for i := 0; ; i++ {
		if i > 0 && i == len(b.levels)-1 && len(b.levels[i]) == 1 {
			root := b.levels[i][0].Page
			b.keep(errors.New("tree: finished"))
			return root, nil
		}
		if err := b.keep(b.endInner(i)); err != nil {
			return pack.ChunkID{}, err
		}
	}
}
