package restore

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// suspect is a file that is to be read again.
type suspect struct {
	folder string
	path   string
	entry  *tree.Entry
}

// verifier walks the tree again and sends all regular files that were to be restored.
type verifier struct {
	run   *run
	files chan suspect
}

// verify reads all files again and compares them with the tree.
func (r *run) verify(ctx context.Context) error {
	v := &verifier{run: r, files: make(chan suspect, 64)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(v.files)
		if r.single != nil {
			_, err := v.entry(ctx, r.newTop(), r.single)
			return err
		}
		return r.descend(ctx, r.newTop(), v)
	})
	for range r.Workers {
		group.Go(func() error {
			reader := &rereader{run: r, decoder: r.Opener.NewDecoder()}
			for s := range v.files {
				err := reader.check(ctx, s)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err != nil {
					r.fail(s.path, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// enter implements visitor.
func (v *verifier) enter(context.Context, *folder) error { return nil }

// exit implements visitor. What is broken was reported by the walk before.
func (v *verifier) exit(*folder, error) error { return nil }

// entry implements visitor.
func (v *verifier) entry(ctx context.Context, f *folder, x *tree.Entry) (*folder, error) {
	chosen, below := v.run.selector.choose(f.state, x.Name)
	path := tree.Join(f.path, x.Name)
	if v.run.isLeftOut(path) {
		return nil, nil
	}
	if x.Kind == tree.Directory && (chosen || below) {
		return v.run.newFolder(f, x, chosen), nil
	}
	if x.Kind != tree.Regular || !chosen {
		return nil, nil
	}
	select {
	case v.files <- suspect{f.path, path, x}:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// rereader compares files with the tree. It serves one goroutine.
type rereader struct {
	run     *run
	decoder *pack.Decoder
	buf     []byte
}

// check returns an error that wraps ErrDiffers if a file is not what the tree says.
func (v *rereader) check(ctx context.Context, s suspect) error {
	dir, err := v.run.root.Dir(s.folder)
	if err != nil {
		return err
	}
	defer dir.Release()
	f, err := dir.OpenFile(s.entry.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size != s.entry.Size {
		return fmt.Errorf("%w: %d bytes, want %d", ErrDiffers, st.Size, s.entry.Size)
	}
	if !s.entry.Listed {
		return v.compare(ctx, f, s.entry.Parts, 0)
	}
	at := int64(0)
	for _, list := range s.entry.Parts {
		parts, err := tree.LoadList(ctx, v.run.Load, list)
		if err != nil {
			return err
		}
		if err := v.compare(ctx, f, parts, at); err != nil {
			return err
		}
		at += list.Length
	}
	return nil
}

// compare compares a file with parts of it that begin at a place.
func (v *rereader) compare(ctx context.Context, f *target.Reader, parts []tree.Part, at int64) error {
	for _, p := range parts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		check := v.chunk
		if p.ID.IsZero() {
			check = v.hole
		}
		if err := check(f, p, at); err != nil {
			return err
		}
		v.run.Progress.Verified.Add(p.Length)
		at += p.Length
	}
	return nil
}

func (v *rereader) read(f *target.Reader, n, at int64) ([]byte, error) {
	if int64(cap(v.buf)) < n {
		v.buf = make([]byte, n)
	}
	buf := v.buf[:n]
	if _, err := f.ReadAt(buf, at); err == io.EOF {
		return nil, fmt.Errorf("%w: cut off at %d", ErrDiffers, at)
	} else if err != nil {
		return nil, err
	}
	return buf, nil
}

func (v *rereader) chunk(f *target.Reader, p tree.Part, at int64) error {
	buf, err := v.read(f, p.Length, at)
	if err != nil {
		return err
	}
	if v.decoder.Check(pack.KindData, p.ID, buf) != nil {
		return fmt.Errorf("%w: in the %d bytes at %d", ErrDiffers, p.Length, at)
	}
	return nil
}

// hole checks that a hole reads as zeros, without reading what is a hole in the file too.
func (v *rereader) hole(f *target.Reader, p tree.Part, at int64) error {
	const step = 1 << 20
	for end := at + p.Length; at < end; {
		next, err := f.NextData(at)
		if err != nil {
			return err
		}
		if at = next; at >= end {
			break
		}
		n := min(step, end-at)
		buf, err := v.read(f, n, at)
		if err != nil {
			return err
		}
		if !isZero(buf) {
			return fmt.Errorf("%w: in the hole at %d", ErrDiffers, at)
		}
		at += n
	}
	return nil
}

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}
