package pull

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/snapshot"
)

// endsWithin is how much longer than its limit of time a pull may hold its lock: hooks, and what ends a connection, count beside it.
const endsWithin = time.Hour

// limit returns the time that a pull of the source may take.
func (p *Puller) limit(name string) time.Duration {
	c := p.Config.Sources[name]
	return c.Limits.Time.Or(config.DefaultTime)
}

// lock keeps a second pull of a source away, and fails with ErrRunning if it is the second, and with ErrTimeout as well if the first should have
// ended long ago. It is given back when this process ends, however that
// happens. Where the file system knows no locks there is none.
func (p *Puller) lock(name string) (unlock func(), err error) {
	if p.StateDir == "" {
		return func() {}, nil
	}
	dir := filepath.Join(p.StateDir, "pull", p.Repo.ID())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, snapshot.SourceIDOf(name).String()+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == syscall.EWOULDBLOCK {
		defer f.Close()
		info, err := f.Stat()
		if limit := p.limit(name); err == nil && p.now().Sub(info.ModTime()) > limit+endsWithin {
			return nil, fmt.Errorf("%w since %s, though none may take more than %v: %w", ErrRunning, info.ModTime().Format(time.DateTime), limit, ErrTimeout)
		}
		return nil, ErrRunning
	}
	if err == nil {
		now := p.now()
		_ = os.Chtimes(f.Name(), now, now) // when it began; a time too old makes somebody look
	}
	if err != nil {
		p.log.Warn("a second pull of the source would not be noticed", "source", name, "error", err)
	}
	return func() {
		// A process that is just being started has the file open as well for a moment, and with it the lock.
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		f.Close()
	}, nil
}
