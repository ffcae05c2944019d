package main

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
	"golang.org/x/sys/unix"
)

// tarDump writes the files of a snapshot as a tar archive. Each folder stands right before what it
// contains: programs set its time when they have left it.
type tarDump struct {
	app  *app
	repo *repo.Repo
	base string // the folder that names are relative to
	w    *tar.Writer
	seen map[fileNumber]string // first name of files with several
	left leftOut

	last    string   // the folder whose listing came last
	inLast  []folder // those that lie in it
	pending []folder // the others that are not written yet, the next one at the end
}

// folder is one that waits to be written.
type folder struct {
	path  string
	entry repo.Entry
}

// leftOut tells of what could not be read when it was backed up, and counts it.
type leftOut struct {
	app   *app
	count int64
}

func (l *leftOut) file(name string) {
	l.count++
	l.app.warn(fmt.Sprintf("%s: it could not be read when it was backed up and is left out", term.Name(name)))
}

// folder tells of a folder that is not complete.
func (l *leftOut) folder(base string, f repo.Listing) {
	if f.Unreadable {
		l.count++
		l.app.warn(fmt.Sprintf("%s: the folder could not be read when it was backed up, and what was in it is left out", term.Name(cmp.Or(relative(base, f.Dir, ""), "."))))
	}
}

// err returns errPartial if something was left out.
func (l *leftOut) err() error {
	if l.count == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s could not be read when the snapshot was made; the archive holds the rest", errPartial, term.Count(l.count, "file or folder"))
}

// fileNumber tells files with several names from each other.
type fileNumber struct {
	device, inode uint64
	kind          tree.Kind // and the size: a number may be used again while a backup runs
	size          int64
}

// writeTar returns how many files and folders were left out.
func (a *app) writeTar(ctx context.Context, r *repo.Repo, s *repo.Snapshot, dir string, w io.Writer) (leftOut, error) {
	d := &tarDump{app: a, repo: r, base: dir, w: tar.NewWriter(w), seen: map[fileNumber]string{}, left: leftOut{app: a}, last: dir}
	err := r.WalkListings(ctx, s, dir, func(l repo.Listing) error { return d.listing(ctx, l) })
	if err == nil {
		err = d.foldersTo(ctx, "")
	}
	if err != nil {
		return d.left, err
	}
	return d.left, d.w.Close()
}

// listing writes the folders before l, the one that l lists, and all in it that are no folders.
func (d *tarDump) listing(ctx context.Context, l repo.Listing) error {
	if l.Dir != d.last {
		if err := d.foldersTo(ctx, l.Dir); err != nil {
			return err
		}
		d.last = l.Dir
	}
	d.left.folder(d.base, l)
	for i := range l.Entries {
		x := &l.Entries[i]
		if x.Kind == tree.Directory {
			d.inLast = append(d.inLast, folder{strings.TrimPrefix(l.Dir+"/"+x.Name, "/"), *x})
			continue
		}
		if err := d.add(ctx, relative(d.base, l.Dir, x.Name), x); err != nil {
			return err
		}
	}
	return nil
}

// foldersTo writes the pending folders up to the one at path; all of them if none is.
func (d *tarDump) foldersTo(ctx context.Context, path string) error {
	slices.Reverse(d.inLast)
	d.pending, d.inLast = append(d.pending, d.inLast...), nil
	for n := len(d.pending); n > 0; n-- {
		f := &d.pending[n-1]
		if err := d.add(ctx, relative(d.base, f.path, ""), &f.entry); err != nil {
			return err
		}
		d.pending = d.pending[:n-1]
		if f.path == path {
			break
		}
	}
	return nil
}

// relative returns the name of an entry below the folder base.
func relative(base, dir, name string) string {
	dir = strings.TrimPrefix(strings.TrimPrefix(dir, base), "/")
	if dir == "" || name == "" {
		return dir + name
	}
	return dir + "/" + name
}

func (d *tarDump) add(ctx context.Context, name string, x *repo.Entry) error {
	h := tarHeader(name, x)
	if h == nil {
		d.app.warn(fmt.Sprintf("%s: a tar archive cannot hold a %s", term.Name(name), kindName(x.Kind)))
		return nil
	}
	if unreadable(x) {
		d.left.file(name)
		return nil
	}
	number := fileNumber{x.Device, x.Inode, x.Kind, x.Size}
	if first, ok := d.seen[number]; ok && x.Links > 1 && x.Kind != tree.Directory {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
	} else if x.Links > 1 && x.Kind != tree.Directory {
		d.seen[number] = name
	}
	if err := d.w.WriteHeader(h); err != nil {
		return fmt.Errorf("tar: %s: %w", term.Name(name), err)
	}
	if h.Typeflag != tar.TypeReg || x.Size == 0 {
		return nil
	}
	return copyContent(ctx, d.repo, x, d.w)
}

func unreadable(x *repo.Entry) bool {
	return x.Kind == tree.Regular && len(x.Parts) == 0 && x.Marks&tree.MarkUnreadable != 0
}

// tarHeader describes an entry in tar's way; nil if tar cannot hold it.
func tarHeader(name string, x *repo.Entry) *tar.Header {
	h := &tar.Header{Name: name, Mode: int64(x.Mode), Uid: int(x.UID), Gid: int(x.GID), Uname: x.User, Gname: x.Group,
		ModTime: x.ModTime.Std(), Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	for _, attr := range x.Xattrs {
		key, value := tarAttribute(attr)
		h.PAXRecords[key] = value
	}
	switch x.Kind {
	case tree.Regular:
		h.Typeflag, h.Size = tar.TypeReg, x.Size
	case tree.Directory:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, x.Target
	case tree.Fifo:
		h.Typeflag = tar.TypeFifo
	case tree.CharDevice, tree.BlockDevice:
		h.Typeflag = tar.TypeChar
		if x.Kind == tree.BlockDevice {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(x.Rdev)), int64(unix.Minor(x.Rdev))
	default:
		return nil
	}
	return h
}

// writeZip returns how many files and folders were left out.
func (a *app) writeZip(ctx context.Context, r *repo.Repo, s *repo.Snapshot, base string, w io.Writer) (leftOut, error) {
	z, left := zip.NewWriter(w), leftOut{app: a}
	err := r.WalkListings(ctx, s, base, func(l repo.Listing) error {
		left.folder(base, l)
		for i := range l.Entries {
			name, x := relative(base, l.Dir, l.Entries[i].Name), &l.Entries[i]
			if unreadable(x) {
				left.file(name)
			} else if err := a.addZip(ctx, r, z, name, x); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return left, err
	}
	return left, z.Close()
}

func (a *app) addZip(ctx context.Context, r *repo.Repo, z *zip.Writer, name string, x *repo.Entry) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, NonUTF8: !utf8.ValidString(name)}
	h.SetMode(repo.FileMode(x))
	switch {
	case x.Kind == tree.Directory:
		h.Name, h.Method = name+"/", zip.Store
	case x.Kind != tree.Regular && x.Kind != tree.Symlink:
		a.warn(fmt.Sprintf("%s: a zip archive cannot hold a %s", term.Name(name), kindName(x.Kind)))
		return nil
	}
	switch everywhere, somewhere := setZipTime(h, x.ModTime, time.Local); {
	case !somewhere:
		a.warn(fmt.Sprintf("%s: a zip archive cannot hold its time, %d seconds from 1970; it has the nearest one that it can", term.Name(name), x.ModTime.Sec))
	case !everywhere:
		a.warn(fmt.Sprintf("%s: its time, %s, is beyond what many programs read in a zip archive, and they show the nearest one", term.Name(name), x.ModTime.Std().Format(time.DateTime)))
	}
	w, err := z.CreateHeader(h)
	if err != nil {
		return fmt.Errorf("zip: %s: %w", term.Name(name), err)
	}
	switch x.Kind {
	case tree.Regular:
		return copyContent(ctx, r, x, w)
	case tree.Symlink:
		_, err = io.WriteString(w, x.Target)
	}
	return err
}
