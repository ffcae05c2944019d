package crashtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// page is the unit in which disks are kept.
const page = 4096

// image is what a disk holds: pages by number. Pages are never changed, they are replaced.
type image map[int64][]byte

// apply puts data at an offset.
func (m image) apply(off int64, data []byte) {
	for len(data) > 0 {
		n, start := off/page, int(off%page)
		fresh := make([]byte, page)
		copy(fresh, m[n])
		done := copy(fresh[start:], data)
		m[n] = fresh
		off, data = off+int64(done), data[done:]
	}
}

// read fills p from an offset.
func (m image) read(off int64, p []byte) {
	clear(p)
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := min(len(p)-done, page-int(at%page))
		if have := m[at/page]; have != nil {
			copy(p[done:done+n], have[at%page:])
		}
		done += n
	}
}

// load reads an image from a file.
func load(t testing.TB, name string) image {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := image{}
	buffer := make([]byte, page)
	for n := int64(0); ; n++ {
		_, err := io.ReadFull(f, buffer)
		if err == io.EOF {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(buffer) != string(zeroPage[:]) {
			m[n] = append([]byte(nil), buffer...)
		}
	}
}

var zeroPage [page]byte

// save writes an image to a sparse file.
func (m image) save(t testing.TB, name string, size int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Truncate(size)
	}
	for n, data := range m {
		if err == nil {
			_, err = f.WriteAt(data, n*page)
		}
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// event is a write to a disk, or a flush if it has no data.
type event struct {
	off  int64
	data []byte
}

// disk is the file of a FUSE file system. It keeps a log of what is written and flushed.
type disk struct {
	fs.Inode
	size int64

	mu  sync.Mutex // guards what follows
	now image
	log []event
}

var (
	_ fs.NodeOpener    = (*disk)(nil)
	_ fs.NodeReader    = (*disk)(nil)
	_ fs.NodeWriter    = (*disk)(nil)
	_ fs.NodeFsyncer   = (*disk)(nil)
	_ fs.NodeGetattrer = (*disk)(nil)
)

func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o600, uint64(d.size)
	return 0
}

func (d *disk) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	p = p[:max(0, min(int64(len(p)), d.size-off))]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.read(off, p)
	return fuse.ReadResultData(p), 0
}

func (d *disk) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	if off+int64(len(p)) > d.size {
		return 0, syscall.ENOSPC
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, event{off, append([]byte(nil), p...)})
	d.now.apply(off, p)
	return uint32(len(p)), 0
}

func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, event{})
	return 0
}

// position is how many events there were.
func (d *disk) position() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// events returns the log.
func (d *disk) events() []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log
}

// tree is the file system: one folder with the disk in it.
type tree struct {
	fs.Inode
	disk *disk
}

func (r *tree) OnAdd(ctx context.Context) {
	r.AddChild("disk", r.NewPersistentInode(ctx, r.disk, fs.StableAttr{Mode: syscall.S_IFREG}), true)
}

// serve mounts a FUSE file system with the disk, and returns the path of the file.
func (d *disk) serve(t testing.TB, dir string) string {
	t.Helper()
	server, err := fs.Mount(dir, &tree{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "crashtest", MaxWrite: 1 << 20}})
	if err != nil {
		t.Skip("cannot mount FUSE: ", err)
	}
	t.Cleanup(func() {
		// The loop device lets go of the file behind the moment in which it is bound to none.
		for end := time.Now().Add(deadline); ; time.Sleep(100 * time.Millisecond) {
			err := server.Unmount()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Error(err)
				return
			}
		}
	})
	return filepath.Join(dir, "disk")
}

// system runs a program of the system.
func system(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %q: %w: %s", program, args, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// before returns what a disk that was cut off after n events may hold: all that was flushed, and of the rest
// everything, or if random is not nil a part.
func before(start image, log []event, n int, random *rand.Rand) image {
	m := maps.Clone(start)
	flushed := 0
	for i, e := range log[:n] {
		if e.data == nil {
			flushed = i + 1
		}
	}
	for i, e := range log[:n] {
		if e.data != nil && (random == nil || i < flushed || random.IntN(2) == 0) {
			m.apply(e.off, e.data)
		}
	}
	return m
}
