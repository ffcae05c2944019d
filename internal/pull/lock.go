package pull

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/snapkeep/snap/internal/snapshot"
)

// lock keeps a second pull of a source away, and fails with ErrRunning if it is the second. It is given back when this process ends, however that
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
		f.Close()
		return nil, ErrRunning
	}
	if err != nil {
		p.log.Warn("a second pull of the source would not be noticed", "source", name, "error", err)
	}
	return func() { f.Close() }, nil
}
