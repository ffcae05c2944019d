package looptest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestManyAtOnce takes devices from several goroutines at once and expects each file behind its own.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	_, detach := Attach(t, image(t, dir, 99), true) // or the test is skipped
	detach()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 25 {
				name := image(t, dir, 100*i+j)
				device, detach := Attach(t, name, j%2 == 0)
				got, err := os.ReadFile(device)
				if err != nil {
					t.Error(err)
				}
				if want, _ := os.ReadFile(name); !bytes.Equal(got, want) {
					t.Errorf("%s: not what is in %s", device, name)
				}
				detach()
			}
		})
	}
	wg.Wait()
}

// TestDetachWaitsForTheLast lets somebody else have the device open when it is detached, as a mount in another namespace has.
func TestDetachWaitsForTheLast(t *testing.T) {
	name := image(t, t.TempDir(), 1)
	device, detach := Attach(t, name, false)
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	var closed atomic.Bool
	go func() {
		time.Sleep(200 * time.Millisecond)
		closed.Store(true)
		f.Close()
	}()
	detach()
	if !closed.Load() {
		t.Error("the file may be changed while somebody has its device open")
	}
}

func image(t *testing.T, dir string, number int) string {
	name := filepath.Join(dir, fmt.Sprint(number))
	if err := os.WriteFile(name, bytes.Repeat(fmt.Appendf(nil, "%08d", number), 8192), 0o600); err != nil {
		t.Error(err)
	}
	return name
}
