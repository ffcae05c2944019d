package durable

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// openNamed makes a temporary file with a random name and returns the name.
func (d *Dir) openNamed() (*os.File, string, error) {
	name := path.Join(TempName, strings.ToLower(rand.Text()))
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := d.root.OpenFile(name, flags, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		// The folder need not be durable: only what leaves it is.
		if err := d.root.Mkdir(TempName, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, "", err
		}
		f, err = d.root.OpenFile(name, flags, fileMode)
	}
	return f, name, err
}

// hasAnonymous reports whether files without a name work in the Dir. The first
// call finds out by making one and giving it a name in TempName.
func (d *Dir) hasAnonymous() bool {
	d.anonymousOnce.Do(func() {
		d.anonymous = !d.opts.NamedTemp && d.tryAnonymous() == nil
	})
	return d.anonymous
}

func (d *Dir) tryAnonymous() error {
	f, err := d.openAnonymous()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.root.Mkdir(TempName, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder, err := d.root.Open(TempName)
	if err != nil {
		return err
	}
	defer folder.Close()
	name := path.Join(TempName, strings.ToLower(rand.Text()))
	if err := linkAnonymous(f, folder, name); err != nil {
		return err
	}
	return unlinkAt(d, folder, name)
}

// CleanTemp removes temporary files that were not written to for at least age,
// by the clock of the file system, and returns how many. What it cannot remove
// it skips; the error tells of it.
func (d *Dir) CleanTemp(ctx context.Context, age time.Duration) (removed int, err error) {
	folder, err := d.root.OpenRoot(TempName)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	names, err := readNames(folder)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	now, err := d.storageNow()
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return removed, context.Cause(ctx)
		}
		info, err := folder.Lstat(name)
		if err == nil && (!info.Mode().IsRegular() || now.Sub(info.ModTime()) < age) {
			continue
		}
		if err == nil {
			err = folder.Remove(name)
		}
		switch {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist):
			failed = append(failed, err)
		}
	}
	return removed, errors.Join(failed...)
}

// storageNow returns the time by the clock that stamps the files.
func (d *Dir) storageNow() (time.Time, error) {
	f, name, err := d.openNamed()
	if err != nil {
		return time.Time{}, err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close(), d.root.Remove(name)); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func readNames(folder *os.Root) ([]string, error) {
	f, err := folder.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}
