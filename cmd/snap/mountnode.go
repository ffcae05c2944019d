package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	iofs "io/fs"
	"sort"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

// forever is how long the kernel may believe what it was told of a snapshot, which does
// not change.
const forever = time.Hour

// virtualNode is a folder above the snapshots.
type virtualNode struct {
	fs.Inode
	m     *mounted
	names []string // that lead to it
}

var (
	_ fs.NodeLookuper  = (*virtualNode)(nil)
	_ fs.NodeReaddirer = (*virtualNode)(nil)
	_ fs.NodeGetattrer = (*virtualNode)(nil)
)

// Getattr implements fs.NodeGetattrer.
func (n *virtualNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = syscall.S_IFDIR | 0o555
	return 0
}

// Lookup implements fs.NodeLookuper.
func (n *virtualNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	v := n.m.tree().at(n.names)
	if v == nil || v.children[name] == nil {
		return nil, syscall.ENOENT
	}
	switch v = v.children[name]; {
	case v.link != "":
		return n.NewInode(ctx, &fs.MemSymlink{Data: []byte(v.link)}, fs.StableAttr{Mode: syscall.S_IFLNK}), 0
	case v.snapshot == nil:
		out.Mode = syscall.S_IFDIR | 0o555
		child := &virtualNode{m: n.m, names: append(n.names[:len(n.names):len(n.names)], name)}
		return n.NewInode(ctx, child, fs.StableAttr{Mode: syscall.S_IFDIR}), 0
	}
	x, err := n.m.repo.Lookup(n.m.ctx, v.snapshot, v.path)
	if err != nil {
		return nil, n.m.errno(err)
	}
	return savedInode(ctx, &n.Inode, n.m, v.snapshot, v.path, x, out), 0
}

// Readdir implements fs.NodeReaddirer.
func (n *virtualNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	v := n.m.tree().at(n.names)
	if v == nil {
		return nil, syscall.ENOENT
	}
	var list []fuse.DirEntry
	for name, child := range v.children {
		mode := uint32(syscall.S_IFDIR)
		if child.link != "" {
			mode = syscall.S_IFLNK
		}
		list = append(list, fuse.DirEntry{Name: name, Mode: mode})
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Name < list[k].Name })
	return fs.NewListDirStream(list), 0
}

// savedNode is a file or folder in a snapshot.
type savedNode struct {
	fs.Inode
	m        *mounted
	snapshot *repo.Snapshot
	path     string
	entry    *repo.Entry
}

var (
	_ fs.NodeLookuper    = (*savedNode)(nil)
	_ fs.NodeReaddirer   = (*savedNode)(nil)
	_ fs.NodeGetattrer   = (*savedNode)(nil)
	_ fs.NodeReadlinker  = (*savedNode)(nil)
	_ fs.NodeOpener      = (*savedNode)(nil)
	_ fs.NodeGetxattrer  = (*savedNode)(nil)
	_ fs.NodeListxattrer = (*savedNode)(nil)
)

// savedInode makes the inode of an entry and fills in its attributes.
func savedInode(ctx context.Context, parent *fs.Inode, m *mounted, s *repo.Snapshot, path string, x *repo.Entry, out *fuse.EntryOut) *fs.Inode {
	n := &savedNode{m: m, snapshot: s, path: path, entry: x}
	n.fill(&out.Attr)
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
	return parent.NewInode(ctx, n, fs.StableAttr{Mode: fileType(x.Kind), Ino: n.number()})
}

// number returns the inode number of files with several names, which have to share it; 0 for any.
func (n *savedNode) number() uint64 {
	if n.entry.Links < 2 || n.entry.Kind == tree.Directory {
		return 0
	}
	h := fnv.New64a()
	h.Write(n.snapshot.ID[:])
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], n.entry.Device)
	binary.LittleEndian.PutUint64(b[8:], n.entry.Inode)
	h.Write(b[:])
	return h.Sum64()>>1 | 1 // the upper half is for numbers that the library gives
}

func fileType(k tree.Kind) uint32 {
	switch k {
	case tree.Directory:
		return syscall.S_IFDIR
	case tree.Symlink:
		return syscall.S_IFLNK
	case tree.Fifo:
		return syscall.S_IFIFO
	case tree.Socket:
		return syscall.S_IFSOCK
	case tree.CharDevice:
		return syscall.S_IFCHR
	case tree.BlockDevice:
		return syscall.S_IFBLK
	}
	return syscall.S_IFREG
}

// fill fills in the attributes of the entry.
func (n *savedNode) fill(out *fuse.Attr) {
	x := n.entry
	out.Mode = fileType(x.Kind) | uint32(x.Mode)
	out.Uid, out.Gid = x.UID, x.GID
	out.Nlink = max(1, x.Links)
	out.Rdev = uint32(x.Rdev)
	out.Mtime, out.Mtimensec = uint64(x.ModTime.Sec), x.ModTime.Nsec
	out.Ctime, out.Ctimensec = uint64(x.ChangeTime.Sec), x.ChangeTime.Nsec
	out.Atime, out.Atimensec = out.Mtime, out.Mtimensec
	if x.Access != nil {
		out.Atime, out.Atimensec = uint64(x.Access.Sec), x.Access.Nsec
	}
	switch x.Kind {
	case tree.Regular:
		out.Size = uint64(x.Size)
		out.Blocks = (out.Size + 511) / 512
	case tree.Symlink:
		out.Size = uint64(len(x.Target))
	}
}

// Getattr implements fs.NodeGetattrer.
func (n *savedNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fill(&out.Attr)
	out.SetTimeout(forever)
	return 0
}

// Lookup implements fs.NodeLookuper.
func (n *savedNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	x, err := n.m.listings.lookup(n.snapshot, n.path, name)
	switch {
	case err != nil:
		return nil, n.m.errno(err)
	case x == nil:
		return nil, syscall.ENOENT
	}
	return savedInode(ctx, &n.Inode, n.m, n.snapshot, tree.Join(n.path, name), x, out), 0
}

// Readdir implements fs.NodeReaddirer.
func (n *savedNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	found, err := n.m.listings.read(n.snapshot, n.path)
	if err == nil && found.Unreadable && len(found.Entries) == 0 {
		err = fmt.Errorf("%s: the folder could not be read when it was backed up", term.Name("/"+n.path))
	}
	if err != nil {
		return nil, n.m.errno(err)
	}
	entries := found.Entries
	list := make([]fuse.DirEntry, len(entries))
	for i := range entries {
		list[i] = fuse.DirEntry{Name: entries[i].Name, Mode: fileType(entries[i].Kind)}
	}
	return fs.NewListDirStream(list), 0
}

// Readlink implements fs.NodeReadlinker.
func (n *savedNode) Readlink(context.Context) ([]byte, syscall.Errno) {
	return []byte(n.entry.Target), 0
}

// Open implements fs.NodeOpener.
func (n *savedNode) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&(syscall.O_WRONLY|syscall.O_RDWR) != 0 {
		return nil, 0, syscall.EROFS
	}
	err := n.m.repo.WarmUpEntry(n.m.ctx, n.entry)
	var f *repo.FileReader
	if err == nil {
		f, err = n.m.repo.OpenEntry(n.m.ctx, n.entry)
	}
	if err != nil {
		return nil, 0, n.m.errno(n.fault(err))
	}
	return &savedFile{n: n, f: f}, fuse.FOPEN_KEEP_CACHE, 0
}

// Getxattr implements fs.NodeGetxattrer.
func (n *savedNode) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	for _, x := range n.entry.Xattrs {
		if x.Name == name {
			if len(dest) < len(x.Value) {
				return uint32(len(x.Value)), syscall.ERANGE
			}
			return uint32(copy(dest, x.Value)), 0
		}
	}
	return 0, syscall.ENODATA
}

// Listxattr implements fs.NodeListxattrer.
func (n *savedNode) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	var list []byte
	for _, x := range n.entry.Xattrs {
		list = append(append(list, x.Name...), 0)
	}
	if len(dest) < len(list) {
		return uint32(len(list)), syscall.ERANGE
	}
	return uint32(copy(dest, list)), 0
}

// savedFile is an open file.
type savedFile struct {
	n *savedNode
	f *repo.FileReader
}

var _ fs.FileReader = (*savedFile)(nil)

// Read implements fs.FileReader.
func (f *savedFile) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := f.f.ReadAt(dest, off)
	if err != nil && err != io.EOF {
		return nil, f.n.m.errno(f.n.fault(err))
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// fault names the file that could not be read, and what helps.
func (n *savedNode) fault(err error) error {
	name := term.Name("/" + n.path)
	if errors.Is(err, repo.ErrArchived) {
		return fmt.Errorf("%s: %w: mount with --warm-up, or get it with: snap restore --warm-up", name, repo.ErrArchived)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// errno returns what the kernel is told of an error; what it cannot tell is printed.
func (m *mounted) errno(err error) syscall.Errno {
	switch {
	case errors.Is(err, iofs.ErrNotExist) && !repo.IsDamage(err): // a pack may be missing
		return syscall.ENOENT
	case errors.Is(err, repo.ErrCannotReadData):
		return syscall.EACCES
	}
	m.app.warn(err.Error())
	return syscall.EIO
}
