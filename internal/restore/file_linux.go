package restore

import (
	"sync"
	"sync/atomic"

	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
)

// file is a file of any kind but a folder, on its way.
type file struct {
	folder   *folder
	entry    *tree.Entry
	action   Action
	existing target.Existing
	old      bool   // something is there
	skip     bool   // and stays as it is
	touch    bool   // and has the right content, but gets its metadata
	several  bool   // it has several pieces
	group    *group // of hard links, nil for none
	first    bool   // of its group: the one that is written

	pending atomic.Int32 // pieces that are to come, and the walk while it adds some

	mu     sync.Mutex // guards what follows
	handle *target.File
	dir    *target.Dir // of handle
	err    error       // why it is given up
}

func (f *file) path() string { return tree.Join(f.folder.path, f.entry.Name) }

// isLink reports whether f becomes a hard link to a file that is written.
func (f *file) isLink() bool { return f.group != nil && !f.first }

// giveUp notes why f is not restored. The first reason holds.
func (f *file) giveUp(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// failed reports whether f is given up.
func (f *file) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// begin opens f unless it is open.
func (r *run) begin(f *file) (*target.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.handle != nil {
		return f.handle, f.err
	}
	dir, err := r.dir(f.folder)
	if err == nil {
		if f.handle, err = dir.Create(f.entry, f.existing); err != nil {
			dir.Release()
		}
	}
	if err != nil {
		f.err = err
		return nil, err
	}
	f.dir = dir
	if f.several {
		r.mu.Lock()
		r.open[f] = struct{}{}
		r.mu.Unlock()
	}
	return f.handle, nil
}

// put writes a piece of f.
func (r *run) put(f *file, data []byte, at int64) {
	handle, err := r.begin(f)
	if err != nil {
		return
	}
	n, err := handle.WriteAt(data, at)
	r.Progress.Bytes.Add(int64(n))
	if err != nil {
		f.giveUp(err)
	}
}

// done takes back one pending piece of f. With the last one f is complete.
func (r *run) done(f *file) {
	if f.pending.Add(-1) > 0 {
		return
	}
	_, err := r.begin(f) // an empty file was not opened yet
	if f.several {
		r.mu.Lock()
		delete(r.open, f)
		r.mu.Unlock()
	}
	if err != nil {
		f.abort()
		r.settle(f, err)
		return
	}
	problems, err := f.handle.Finish(f.entry)
	f.dir.Release()
	r.attributes(f.path(), problems)
	r.settle(f, err)
}

// abort removes what was written of f.
func (f *file) abort() {
	if f.handle != nil {
		f.handle.Abort()
		f.dir.Release()
		f.handle = nil
	}
}

// settle reports what became of f, lets the hard links to it be made, and leaves its folder.
func (r *run) settle(f *file, err error) {
	if err != nil {
		r.fail(f.path(), err)
	} else {
		r.count(f)
		if f.action != Unchanged || f.touch {
			r.changed(f.path(), f.entry.Kind)
		}
	}
	if f.first {
		for _, link := range f.group.settle(err) {
			r.link(link)
		}
	}
	r.leave(f.folder)
}

// perform does what needs no chunk.
func (r *run) perform(f *file) {
	switch {
	case f.isLink():
		if f.group.ready(f) {
			r.link(f)
		}
	case f.entry.Kind == tree.Regular && f.action != Unchanged:
		r.done(f)
	default:
		r.settle(f, r.describe(f))
	}
}

// describe makes a special file, or sets the metadata of a file that is kept.
func (r *run) describe(f *file) error {
	if f.action == Unchanged && !f.touch {
		return nil
	}
	dir, err := r.dir(f.folder)
	if err != nil {
		return err
	}
	defer dir.Release()
	var problems []*target.AttributeError
	if f.touch {
		problems, err = dir.SetFileMeta(f.entry)
	} else {
		problems, err = dir.MakeSpecial(f.entry, f.existing)
	}
	r.attributes(f.path(), problems)
	return err
}
