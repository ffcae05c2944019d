package looptest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
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

func image(t *testing.T, dir string, number int) string {
	name := filepath.Join(dir, fmt.Sprint(number))
	if err := os.WriteFile(name, bytes.Repeat(fmt.Appendf(nil, "%08d", number), 8192), 0o600); err != nil {
		t.Error(err)
	}
	return name
}
