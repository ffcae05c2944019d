package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// foldingNode is a file or folder of a file system that knows lower case only.
type foldingNode struct {
	fs.Inode
	path string // of what stands behind it
}

func (n *foldingNode) below(name string) string { return n.path + "/" + strings.ToLower(name) }

func (n *foldingNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	child := &foldingNode{path: n.below(name)}
	var st syscall.Stat_t
	if err := syscall.Lstat(child.path, &st); err != nil {
		return nil, fs.ToErrno(err)
	}
	out.FromStat(&st)
	return n.NewInode(ctx, child, fs.StableAttr{Mode: st.Mode, Ino: st.Ino}), 0
}

// made looks at what was just made.
func (n *foldingNode) made(ctx context.Context, name string, out *fuse.EntryOut, err error) (*fs.Inode, syscall.Errno) {
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return n.Lookup(ctx, name, out)
}

func (n *foldingNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	var st syscall.Stat_t
	err := syscall.Lstat(n.path, &st)
	out.FromStat(&st)
	return fs.ToErrno(err)
}

func (n *foldingNode) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if f, ok := f.(fs.FileSetattrer); ok {
		return f.Setattr(ctx, in, out)
	}
	var errs []error
	if mode, ok := in.GetMode(); ok {
		errs = append(errs, syscall.Chmod(n.path, mode))
	}
	if at, ok := in.GetMTime(); ok {
		errs = append(errs, os.Chtimes(n.path, time.Time{}, at)) // a time that is zero stays
	}
	if err := errors.Join(errs...); err != nil {
		return syscall.EIO
	}
	return n.Getattr(ctx, f, out)
}

func (n *foldingNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.made(ctx, name, out, syscall.Mkdir(n.below(name), mode))
}

func (n *foldingNode) Rmdir(_ context.Context, name string) syscall.Errno {
	return fs.ToErrno(syscall.Rmdir(n.below(name)))
}

func (n *foldingNode) Unlink(_ context.Context, name string) syscall.Errno {
	return fs.ToErrno(syscall.Unlink(n.below(name)))
}

func (n *foldingNode) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	path := to.(*foldingNode).below(newName)
	err := unix.Renameat2(unix.AT_FDCWD, n.below(name), unix.AT_FDCWD, path, uint(flags))
	if child := n.GetChild(name); err == nil && child != nil {
		child.Operations().(*foldingNode).path = path
	}
	return fs.ToErrno(err)
}

func (n *foldingNode) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fd, err := syscall.Open(n.path, int(flags)&^syscall.O_APPEND, 0)
	return fs.NewLoopbackFile(fd), 0, fs.ToErrno(err)
}

func (n *foldingNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	fd, err := syscall.Open(n.below(name), int(flags)|syscall.O_CREAT, mode)
	child, errno := n.made(ctx, name, out, err)
	return child, fs.NewLoopbackFile(fd), 0, errno
}

func (n *foldingNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	return fs.NewLoopbackDirStream(n.path)
}

// foldingFolder mounts a file system for which upper and lower case are the same.
func foldingFolder(t *testing.T) string {
	t.Helper()
	if ok, err := condition("fuse"); !ok || err != nil {
		t.Skip("needs FUSE")
	}
	at := t.TempDir()
	server, err := fs.Mount(at, &foldingNode{path: t.TempDir()}, &fs.Options{NullPermissions: true, MountOptions: fuse.MountOptions{Name: "folding"}})
	if err != nil {
		t.Skip("no FUSE: ", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return at
}

// listed returns the paths of what lies in a folder, with what is in files.
func listed(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		if err != nil || name == "" {
			return err
		}
		if d.IsDir() {
			all = append(all, name+"/")
			return nil
		}
		data, err := os.ReadFile(path)
		all = append(all, name+"="+string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRestoreWhereCaseIsTheSame restores names that differ in case only to a place that takes them for one. No file takes the place of another.
func TestRestoreWhereCaseIsTheSame(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"HOME": dir + "/home"}
	for name, content := range map[string]string{"A": "upper", "a": "lower case", "Dir/x": "x", "dir/y": "y", "dir/README": "read", "ÄB": "umlaut", "äb": "other", "thing/f": "f",
		"Thing": "file", "only": "one"} {
		if err := os.MkdirAll(filepath.Dir(dir+"/src/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/src/"+name, content)
	}
	if code, _, stderr := call(t, env, "backup", dir+"/src"); code != 0 {
		t.Fatal(stderr)
	}
	restore := func(to string, flags ...string) (int, string) {
		code, _, stderr := call(t, env, append([]string{"restore", "latest:" + dir + "/src", "--target", to}, flags...)...)
		return code, stderr
	}
	// Where they differ, all come back.
	if code, stderr := restore(dir + "/plain"); code != 0 || stderr != "" {
		t.Errorf("code %d: %s", code, stderr)
	}
	if got := listed(t, dir+"/plain"); !slices.Equal(got, listed(t, dir+"/src")) {
		t.Errorf("%q", got)
	}
	at := foldingFolder(t)
	twins := []string{`/a: the target takes its name for that of another file: "A"`, `/dir: the target takes its name for that of another file: "Dir"`,
		`/thing: the target takes its name for that of another file: "Thing"`, `/äb: the target takes its name for that of another file: "ÄB"`}
	want := []string{"a=upper", "dir/", "dir/x=x", "only=one", "thing=file", "äb=umlaut"}
	for _, flags := range [][]string{nil, nil, {"--overwrite", "always"}, {"--delete"}, {"--overwrite", "never", "--delete"}, {"--verify"}} {
		code, stderr := restore(at+"/to", flags...)
		if code != exitPartial || strings.Count(stderr, "takes its name") != len(twins) {
			t.Errorf("%q: code %d: %s", flags, code, stderr)
		}
		for _, line := range twins {
			if !strings.Contains(stderr, line) {
				t.Errorf("%q: %s is not told:\n%s", flags, line, stderr)
			}
		}
		if got := listed(t, at+"/to"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", flags, got, want)
		}
	}
	// Alone each comes back, and what it replaces is what has its name there.
	if code, stderr := restore(at+"/to", "--include", "/a"); code != 0 {
		t.Errorf("code %d: %s", code, stderr)
	}
	if got := listed(t, at+"/to"); got[0] != "a=lower case" {
		t.Errorf("%q", got)
	}
	// What is there in another spelling is not taken for something that the snapshot does not have.
	only := []string{"restore", "latest:" + dir + "/src/dir", "--target", at + "/dir", "--delete"}
	for range 2 {
		if code, _, stderr := call(t, env, only...); code != 0 {
			t.Errorf("code %d: %s", code, stderr)
		}
		if got := listed(t, at+"/dir"); !slices.Equal(got, []string{"readme=read", "y=y"}) {
			t.Errorf("%q", got)
		}
		if err := os.WriteFile(at+"/dir/z", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
