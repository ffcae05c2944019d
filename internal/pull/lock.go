package pull

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/snapkeep/snap/internal/snapshot"
)

// lock keeps a second pull of a source away. It is given back when this process ends, however that happens.
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
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrRunning
	}
	return func() { f.Close() }, nil
}
