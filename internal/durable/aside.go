package durable

import (
	"errors"
	"io/fs"
	"path"
)

// PutAside renames what keeps a regular file from being made under name, durably: what has the name and is no regular file, or what stands
// where a folder above it should be and is none. It gets the name aside, whatever it is; a folder keeps what is in it. The error is
// fs.ErrNotExist if nothing is in the way.
func (d *Dir) PutAside(name, aside string) error {
	obstacle, err := d.obstacle(name)
	if err != nil {
		return err
	}
	to, err := d.openFolder(path.Dir(aside))
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := d.root.Lstat(aside); err == nil {
		return &fs.PathError{Op: "rename", Path: aside, Err: fs.ErrExist}
	}
	from, err := d.root.Open(path.Dir(obstacle))
	if err != nil {
		return err
	}
	defer from.Close()
	err = d.root.Rename(obstacle, aside)
	d.unsettle() // it may have passed for a folder
	if err != nil {
		return err
	}
	return errors.Join(d.syncFolder(to), d.syncFolder(from))
}

// Blocked reports whether there is something for PutAside to rename.
func (d *Dir) Blocked(name string) (bool, error) {
	_, err := d.obstacle(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// obstacle returns the name, or the beginning of it, that something has that is in the way of a regular file.
func (d *Dir) obstacle(name string) (string, error) {
	for i := range name {
		if name[i] != '/' {
			continue
		}
		folder := name[:i]
		if _, err := d.root.Lstat(folder); err != nil {
			return "", err
		}
		if info, err := d.root.Stat(folder); err != nil || !info.IsDir() {
			return folder, nil
		}
	}
	info, err := d.root.Lstat(name)
	if err == nil && info.Mode().IsRegular() {
		err = &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	return name, err
}
