package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

// nodeJSON is a file in a snapshot as scripts know it.
type nodeJSON struct {
	MessageType string    `json:"message_type,omitempty"`
	StructType  string    `json:"struct_type,omitempty"`
	Name        string    `json:"name,omitempty"`
	NameB64     string    `json:"name_b64,omitempty"`
	Type        string    `json:"type"`
	Path        string    `json:"path"`
	PathB64     string    `json:"path_b64,omitempty"`
	UID         uint32    `json:"uid"`
	GID         uint32    `json:"gid"`
	User        string    `json:"user,omitempty"`
	Group       string    `json:"group,omitempty"`
	Size        *int64    `json:"size,omitempty"`
	Mode        uint32    `json:"mode"`
	Permissions string    `json:"permissions"`
	ModTime     time.Time `json:"mtime"`
	ChangeTime  time.Time `json:"ctime"`
	AccessTime  any       `json:"atime,omitempty"`
	Inode       uint64    `json:"inode,omitempty"`
	Links       uint32    `json:"links,omitempty"`
	Device      uint64    `json:"device,omitempty"`
	Target      string    `json:"linktarget,omitempty"`
	TargetB64   string    `json:"linktarget_b64,omitempty"`
	Marks       []string  `json:"marks,omitempty"`
	Problem     string    `json:"problem,omitempty"`
}

// newNode describes an entry; path is that in the snapshot, with a slash in front.
func newNode(path string, x *repo.Entry) nodeJSON {
	mode := repo.FileMode(x)
	n := nodeJSON{Name: x.Name, NameB64: rawName(x.Name), Type: kindName(x.Kind), Path: path, PathB64: rawName(path), UID: x.UID, GID: x.GID,
		User: x.User, Group: x.Group, Mode: uint32(mode), Permissions: mode.String(), ModTime: jsonTime(x.ModTime), ChangeTime: jsonTime(x.ChangeTime),
		Inode: x.Inode, Links: x.Links, Device: x.Rdev, Target: x.Target, TargetB64: rawName(x.Target), Marks: marks(x), Problem: x.Problem}
	if x.Kind == tree.Regular {
		n.Size = &x.Size
	}
	if x.Access != nil {
		n.AccessTime = jsonTime(*x.Access)
	}
	return n
}

// jsonTime returns t as a time that JSON can hold: its years have four digits.
func jsonTime(t tree.Time) time.Time {
	v := t.Std()
	switch year := v.Year(); {
	case year < 1:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return v
}

func kindName(k tree.Kind) string {
	switch k {
	case tree.Regular:
		return "file"
	case tree.Directory:
		return "dir"
	case tree.Symlink:
		return "symlink"
	case tree.Fifo:
		return "fifo"
	case tree.Socket:
		return "socket"
	case tree.CharDevice:
		return "chardev"
	case tree.BlockDevice:
		return "dev"
	}
	return "unknown"
}

// marks returns what was wrong with a file when it was saved.
func marks(x *repo.Entry) (out []string) {
	if x.Marks&tree.MarkChanged != 0 {
		out = append(out, "changed")
	}
	if x.Marks&tree.MarkUnreadable != 0 {
		out = append(out, "unreadable")
	}
	return out
}

// longLine describes an entry in the way of ls -l.
func longLine(path string, x *repo.Entry) string {
	size := ""
	if x.Kind == tree.Regular {
		size = fmt.Sprint(x.Size)
	}
	line := fmt.Sprintf("%s %5s %5s %10s %s %s", repo.FileMode(x), owner(x.User, x.UID), owner(x.Group, x.GID), size,
		x.ModTime.Std().Local().Format(time.DateTime), term.Name(path))
	if x.Kind == tree.Symlink {
		line += " -> " + term.Name(x.Target)
	}
	for _, m := range marks(x) {
		line += " (" + markText(m) + ")"
	}
	return line
}

func markText(mark string) string {
	if mark == "changed" {
		return "changed while being read"
	}
	return mark
}

func owner(name string, id uint32) string {
	if name == "" {
		return fmt.Sprint(id)
	}
	return term.Name(name)
}

// lookup finds an entry of a snapshot and explains that there is none.
func lookup(ctx context.Context, r *repo.Repo, s *repo.Snapshot, path string) (*repo.Entry, error) {
	x, err := r.Lookup(ctx, s, path)
	return x, noSuchPath(s, path, err)
}

func noSuchPath(s *repo.Snapshot, path string, err error) error {
	if err == nil || !errors.Is(err, fs.ErrNotExist) || repo.IsDamage(err) {
		return err
	}
	return fail(exitNoSnapshot, "snapshot %s has no %s", shortID(s), term.Name(path)).
		withHint("see what it has: snap ls " + shortID(s))
}

// below joins a path in a snapshot from its directory, with a slash in front.
func below(dir, name string) string {
	if dir == "" {
		return "/" + name
	}
	return "/" + dir + "/" + name
}
