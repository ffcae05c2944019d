package sftp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"github.com/snapkeep/snap/internal/durable"
	"github.com/snapkeep/snap/internal/store/spool"
)

const (
	createFlags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	// compareBytes is how much of a stored file is compared at a time. Behind a cut it is less, down to compareLeast: what has come when a
	// connection breaks may be lost, and the next one may carry no more.
	compareBytes = 256 << 10
	compareLeast = 4 << 10
)

// Create implements store.Store. The data is collected before any of it is
// sent.
func (s *Store) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	err := s.checkName(ctx, name)
	if err == nil {
		var b *spool.Buffer
		if b, err = s.spools.Collect(ctx, data, size); err == nil {
			err = errors.Join(s.store(ctx, name, b), b.Close())
		}
	}
	return s.wrap("create", name, err)
}

// upload is a file on its way to its name.
type upload struct {
	store  *Store
	data   *spool.Buffer
	target string

	temp     string // empty if there is none
	sent     int64  // bytes that are in it, as far as is known
	resumed  int64  // as many of them came over connections that broke
	verified int64  // as many of those were read back
	syncing  bool   // fsync was asked for
	synced   bool   // and done
	compared int64  // bytes of a file that has the name already
	piece    int64  // how much is compared at a time
	naming   bool   // a link or rename to the target was asked for
	named    bool   // and done
}

// store sends a file and gives it its name.
func (s *Store) store(ctx context.Context, name string, data *spool.Buffer) error {
	u := &upload{store: s, data: data, target: s.path(name), piece: compareBytes}
	err := s.do(ctx, transferWeight, func(a *attempt) error { return u.try(ctx, a) })
	if err != nil && !u.named && ctx.Err() == nil {
		u.abandon(ctx)
	}
	return err
}

// abandon removes what is left of a failed upload, if that is possible now.
func (u *upload) abandon(ctx context.Context) {
	if c, err := u.store.pool.pick(smallWeight, false); err == nil && c != nil {
		defer u.store.pool.release(c, smallWeight)
		_ = c.run(ctx, func() error { u.restart(c); return nil })
	}
}

// restart forgets what was sent.
func (u *upload) restart(c *conn) {
	u.tidy(c)
	u.temp, u.sent, u.resumed, u.verified, u.syncing, u.synced = "", 0, 0, 0, false, false
}

// try does what is still to be done, over one connection.
func (u *upload) try(ctx context.Context, a *attempt) error {
	if u.syncing && !u.synced {
		u.restart(a.conn) // a failure of that fsync will not be told twice
	}
	earlier := u.naming
	if earlier && !u.named {
		var err error
		if u.named, err = u.isStored(ctx, a); err != nil {
			return err
		}
	}
	if !u.named {
		if err := u.send(ctx, a); err != nil {
			return err
		}
		if err := u.name(ctx, a, earlier); err != nil {
			return err
		}
		u.named = true
	}
	return u.finish(a.conn)
}

// send brings the whole file to disk under its temporary name.
func (u *upload) send(ctx context.Context, a *attempt) error {
	for {
		if !u.synced {
			if err := u.sendFile(ctx, a); err != nil {
				return u.explain(a.conn, err)
			}
		}
		intact, err := u.verify(ctx, a)
		if err != nil || intact {
			return err
		}
		u.restart(a.conn) // the server lost what it had confirmed
	}
}

// sendFile writes the temporary file and syncs it.
func (u *upload) sendFile(ctx context.Context, a *attempt) error {
	f, err := u.open(a)
	if err != nil {
		return err
	}
	err = u.write(ctx, a, f)
	if err == nil && a.canSync {
		u.syncing = true
		err = f.Sync()
	}
	if err != nil {
		closeAfter(a.conn, f) // after an error that says all there is to say
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	u.synced = true
	return nil
}

// verify reads back what came over connections that broke.
func (u *upload) verify(ctx context.Context, a *attempt) (bool, error) {
	if u.verified >= u.resumed {
		return true, nil
	}
	before := u.verified
	err := u.compare(ctx, a.conn, u.temp, &u.verified, u.resumed)
	a.progress = a.progress || u.verified > before
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil, err
}

// closeAfter closes a file of which the closing tells nothing new.
func closeAfter(c *conn, f io.Closer) {
	if !c.isEnded() {
		_ = f.Close()
	}
}

// open opens the temporary file of an earlier try, or a fresh one.
func (u *upload) open(a *attempt) (remoteFile, error) {
	if u.temp != "" {
		f, err := u.reopen(a)
		if err == nil || a.isLost(err) {
			return f, err
		}
		u.restart(a.conn) // it may be gone, or not to be written to again
	}
	u.temp = path.Join(u.store.path(durable.TempName), rand.Text())
	f, err := a.sftp.OpenFile(u.temp, createFlags)
	if errors.Is(err, fs.ErrNotExist) {
		if err := u.store.makeFolder(a.conn, path.Dir(u.temp)); err != nil {
			return nil, err
		}
		f, err = a.sftp.OpenFile(u.temp, createFlags)
	}
	if err != nil {
		return nil, err // and not a nil file in an interface
	}
	return f, nil
}

// reopen goes on where the file ends. That may be beyond what was confirmed.
func (u *upload) reopen(a *attempt) (remoteFile, error) {
	info, err := a.sftp.Lstat(u.temp)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > u.data.Size() {
		return nil, fs.ErrInvalid
	}
	f, err := a.sftp.OpenFile(u.temp, os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	a.progress = info.Size() > u.sent
	u.sent, u.resumed = info.Size(), info.Size()
	u.verified = min(u.verified, u.resumed)
	return f, nil
}

// remoteFile is what is needed of an open file.
type remoteFile interface {
	io.Closer
	io.Seeker
	Sync() error
	ReadFromWithConcurrency(r io.Reader, concurrency int) (int64, error)
}

// write sends what was not confirmed yet.
func (u *upload) write(ctx context.Context, a *attempt, f remoteFile) error {
	if _, err := f.Seek(u.sent, io.SeekStart); err != nil {
		return err
	}
	rest := io.NewSectionReader(u.data, u.sent, u.data.Size()-u.sent)
	_, err := f.ReadFromWithConcurrency(&contextReader{ctx, rest}, requestsInFlight)
	confirmed, seekErr := f.Seek(0, io.SeekCurrent)
	if seekErr == nil && confirmed > u.sent {
		u.sent, a.progress = confirmed, true
	}
	return err
}

// contextReader ends with the error of a context. It lives within one call.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// explain finds out whether a failure was for want of space.
func (u *upload) explain(c *conn, err error) error {
	if !isFailure(err) {
		return err
	}
	fsInfo, statErr := c.sftp.StatVFS(u.store.location.Path)
	if statErr == nil && (fsInfo.Bavail*fsInfo.Frsize < uint64(u.data.Size()) || fsInfo.Files > 0 && fsInfo.Favail == 0) {
		return errors.Join(syscall.ENOSPC, err)
	}
	return err
}

// name gives the temporary file its name, with the folders that are missing.
// An earlier try may come through at any time.
func (u *upload) name(ctx context.Context, a *attempt, earlier bool) error {
	c := a.conn
	err := u.publish(c)
	if errors.Is(err, fs.ErrNotExist) {
		if err := u.store.makeFolder(c, path.Dir(u.target)); err != nil {
			return err
		}
		err = u.publish(c)
	}
	if earlier && err != nil && !c.isLost(err) {
		if stored, _ := u.isStored(ctx, a); stored {
			return nil
		}
	}
	return err
}

// publish links the temporary file to its name, or renames it. The error is
// fs.ErrExist if the name is taken.
func (u *upload) publish(c *conn) error {
	u.naming = true
	links := c.canLink && (!u.store.keepsTemp.Load() || u.store.keepsNames.Load())
	err := error(fs.ErrPermission)
	if links {
		err = c.sftp.Link(u.temp, u.target)
		if err == nil || c.isLost(err) {
			return err
		}
	}
	if u.isTaken(c) {
		return fs.ErrExist
	}
	if !isFailure(err) && !isUnsupported(err) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err = c.sftp.Rename(u.temp, u.target)
	switch {
	case err == nil:
		u.temp = ""
	case c.isLost(err):
	case u.isTaken(c):
		return fs.ErrExist
	case !links && c.canLink && errors.Is(err, fs.ErrPermission):
		u.store.keepsNames.Store(true)
		return c.sftp.Link(u.temp, u.target)
	}
	return err
}

func (u *upload) isTaken(c *conn) bool {
	_, err := c.sftp.Lstat(u.target)
	return err == nil
}

// isStored reports whether the file of that name is the one to be stored. The
// error is fs.ErrExist if it is another.
func (u *upload) isStored(ctx context.Context, a *attempt) (bool, error) {
	info, err := a.sftp.Lstat(u.target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() != u.data.Size() {
		return false, fs.ErrExist
	}
	before := u.compared
	err = u.compare(ctx, a.conn, u.target, &u.compared, info.Size())
	a.progress = a.progress || u.compared > before
	if errors.Is(err, errDiffers) {
		err = fs.ErrExist
	}
	return err == nil, err
}

// errDiffers says that a file on the server is not what was sent.
var errDiffers = errors.New("the contents differ")

// compare compares bytes of a file on the server with the data, from *done on,
// which it moves forward.
func (u *upload) compare(ctx context.Context, c *conn, file string, done *int64, size int64) error {
	f, err := c.sftp.Open(file)
	if err != nil {
		return err
	}
	defer closeAfter(c, f)
	theirs, ours := make([]byte, compareBytes), make([]byte, compareBytes)
	for *done < size {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		want := ours[:min(u.piece, size-*done)]
		if _, err := u.data.ReadAt(want, *done); err != nil && err != io.EOF {
			return err
		}
		n, err := f.ReadAt(theirs[:len(want)], *done)
		if !bytes.Equal(theirs[:n], want[:n]) {
			return errDiffers
		}
		*done += int64(n) // also if the connection broke behind it: the next one may carry no more than this one
		if err != nil && err != io.EOF {
			u.piece = max(u.piece/8, compareLeast)
			return err
		}
		if n == 0 {
			return errDiffers
		}
		u.piece = min(2*u.piece, compareBytes)
	}
	return nil
}

// finish makes the name durable and removes what is not needed any more.
func (u *upload) finish(c *conn) error {
	var wg sync.WaitGroup
	wg.Go(func() { u.tidy(c) })
	err := u.store.syncFolder(c, path.Dir(u.target))
	wg.Wait()
	if err != nil && !c.isLost(err) {
		_ = c.sftp.Remove(u.target) // it may not be there after a crash
	}
	return err
}

// tidy removes the temporary file, or learns that this is forbidden.
func (u *upload) tidy(c *conn) {
	if u.temp == "" || u.store.keepsTemp.Load() || c.isEnded() {
		return
	}
	if err := c.sftp.Remove(u.temp); errors.Is(err, fs.ErrPermission) {
		u.store.keepsTemp.Store(true)
	}
}
