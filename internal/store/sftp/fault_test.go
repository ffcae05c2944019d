package sftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/internal/store/sftp"
)

func randomBytes(seed byte, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// through opens a store in a new folder, by way of a proxy. Nothing is given up but what a test says: a slow machine takes its time.
func through(t *testing.T, s *sshdtest.Server, p *proxytest.Proxy, opts sftp.Options) (*sftp.Store, string) {
	t.Helper()
	s.AddKnownPort(p.Port())
	dir := t.TempDir()
	place := location(s, dir)
	place.Address.Port = p.Port()
	opts.SSH = s.Client()
	if opts.Timeout == 0 {
		opts.Timeout = time.Hour
	}
	if opts.RetryFor == 0 {
		opts.RetryFor = time.Hour
	}
	st, err := sftp.Open(t.Context(), place, opts)
	for tries := 1; err != nil && opts.Timeout < time.Minute && tries < 100; tries++ { // the greeting may have come too late
		st, err = sftp.Open(t.Context(), place, opts)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, dir
}

func readAll(t *testing.T, st *sftp.Store, name string, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := st.ReadAt(t.Context(), name, got, 0)
	if err != io.EOF || !bytes.Equal(got[:n], want) {
		t.Errorf("ReadAt %q: %d of %d bytes, error %v, or other contents", name, n, len(want), err)
	}
}

func listed(t *testing.T, st *sftp.Store) map[string]int64 {
	t.Helper()
	files := make(map[string]int64)
	err := st.List(t.Context(), "", func(name string, size int64, _ time.Time) error {
		files[name] = size
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return files
}

// TestCuts cuts each connection after a random number of bytes. Nothing is
// lost, nothing is stored twice, and no operation fails.
func TestCuts(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, dir := through(t, s, p, sftp.Options{})
	p.SetFault(func(n int) proxytest.Fault {
		if n%4 == 3 {
			return proxytest.Fault{Refuse: true}
		}
		return proxytest.Fault{CutAfter: 1000 + rand.Int64N(800_000)}
	})
	p.CutAll()
	const workers, files = 2, 6
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range files {
				name := fmt.Sprintf("data/%02x/%d", i, worker)
				data := randomBytes(byte(worker*files+i), 10+i*i*30_000)
				if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
					t.Errorf("Create %q: %v", name, err)
					continue
				}
				readAll(t, st, name, data)
			}
		})
	}
	wg.Wait()
	cuts := p.Connections()
	if cuts < 10 {
		t.Errorf("only %d connections were made: nothing was tested", cuts)
	}
	if err := st.Create(t.Context(), "data/00/0", bytes.NewReader(nil), 0); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a name that is taken: %v", err)
	}
	for i := range files {
		if err := st.Remove(t.Context(), fmt.Sprintf("data/%02x/0", i)); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if got, want := len(listed(t, st)), (workers-1)*files; got != want {
		t.Errorf("List gives %d files, want %d", got, want)
	}
	p.SetFault(nil)
	for worker := 1; worker < workers; worker++ {
		for i := range files {
			got, err := os.ReadFile(filepath.Join(dir, "data", fmt.Sprintf("%02x", i), fmt.Sprint(worker)))
			if err != nil || !bytes.Equal(got, randomBytes(byte(worker*files+i), 10+i*i*30_000)) {
				t.Errorf("what is stored differs: %d bytes, error %v", len(got), err)
			}
		}
	}
}

// TestCutAtEachStep cuts the connection during Create ever later, so that each
// request is once the one of which the answer is lost.
func TestCutAtEachStep(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, dir := through(t, s, p, sftp.Options{Connections: 1})
	data := randomBytes(1, 100)
	// What greets and identifies takes more than start; a step is less than any
	// request with its answer.
	const start, step = 3400, 130
	whole := false
	for i := 0; !whole; i++ {
		first := true
		p.SetFault(func(int) proxytest.Fault {
			if !first {
				return proxytest.Fault{}
			}
			first = false
			return proxytest.Fault{CutAfter: int64(start + step*i)}
		})
		p.CutAll()
		before := p.Connections()
		name := fmt.Sprintf("data/%02x/f", i)
		if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatalf("Create, cut after %d bytes: %v", start+step*i, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("cut after %d bytes: %d bytes are stored, error %v", start+step*i, len(got), err)
		}
		whole = p.Connections() == before+1
		if i > 100 {
			t.Fatal("there is no end to it")
		}
		if whole && i < 8 {
			t.Fatalf("the connection was cut only %d times", i)
		}
	}
}

// TestStall checks that a connection on which nothing comes through is given up, while a file is written and while one is read.
// One that a busy machine keeps from answering is given up as well, perhaps before it stands still: then there is another.
func TestStall(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, _ := through(t, s, p, sftp.Options{Timeout: 2 * time.Second})
	data := randomBytes(1, 3<<20)
	for _, do := range []func(try int){
		func(try int) {
			if err := st.Create(t.Context(), fmt.Sprint("f", try), bytes.NewReader(data), int64(len(data))); err != nil {
				t.Fatalf("Create: %v", err)
			}
		},
		func(int) { readAll(t, st, "f0", data) },
	} {
		before := p.Stalled()
		for try := 0; p.Stalled() == before; try++ {
			if try == 50 {
				t.Fatal("no connection stood still")
			}
			var once sync.Once
			p.SetFault(func(int) (f proxytest.Fault) {
				once.Do(func() { f.StallAfter = 1_000_000 })
				return f
			})
			p.CutAll()
			do(try)
		}
	}
}

// TestIdle checks that a connection is kept while nobody uses it. A server that a busy machine keeps from answering for longer than the timeout is
// rightly given up: then it is given more time.
func TestIdle(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	for timeout := 400 * time.Millisecond; ; timeout *= 3 {
		p := proxytest.Start(t, s.Addr(), nil)
		st, _ := through(t, s, p, sftp.Options{Timeout: timeout})
		made := p.Connections()
		time.Sleep(3 * timeout)
		if _, _, err := st.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat: %v", err)
		}
		n := p.Connections() - made
		if n == 0 {
			return
		}
		if t.Logf("timeout %v: %d more connections were made", timeout, n); timeout > time.Minute {
			t.Fatal("no connection is kept")
		}
	}
}

// TestServerRestart stops the server in the middle of a file and starts it
// again a while later.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, dir := through(t, s, p, sftp.Options{})
	data := randomBytes(1, 4<<20)
	for i, destroy := range []func(temp string) error{
		func(string) error { return nil },
		func(temp string) error { return os.Truncate(temp, 100_000) },          // the end was not on disk yet
		func(temp string) error { return os.WriteFile(temp, data[1:], 0o600) }, // or other bytes are
		os.Remove,
	} {
		p.SetFault(func(int) proxytest.Fault { return proxytest.Fault{StallAfter: 2_000_000} }) // it waits for the server to be stopped
		p.CutAll()
		stopped := make(chan error)
		go func() {
			for started := time.Now(); time.Since(started) < 10*time.Minute; time.Sleep(5 * time.Millisecond) {
				temps, _ := filepath.Glob(filepath.Join(dir, "tmp", "*"))
				if len(temps) != 1 {
					continue
				}
				if info, err := os.Stat(temps[0]); err == nil && info.Size() > 1_000_000 {
					s.Stop()
					p.SetFault(nil)
					p.CutAll()
					err := destroy(temps[0])
					time.Sleep(200 * time.Millisecond)
					stopped <- err
					return
				}
			}
			stopped <- errors.New("no temporary file was seen")
		}()
		created := make(chan error)
		name := fmt.Sprintf("d/f%d", i)
		go func() { created <- st.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))) }()
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		s.Restart()
		if err := <-created; err != nil {
			t.Fatalf("Create: %v", err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d: %d bytes are stored, or other contents, error %v", i, len(got), err)
		}
		readAll(t, st, name, data)
		if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
			t.Errorf("%d: temporary files are left: %q", i, left)
		}
	}
}

// TestServerGone checks that operations end with an error when the server does
// not come back, and at once when their context ends.
func TestServerGone(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	dir := t.TempDir()
	st, err := sftp.Open(t.Context(), location(s, dir), sftp.Options{SSH: s.Client(), RetryFor: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s.Stop()
	if err := st.Create(t.Context(), "f", bytes.NewReader(nil), 0); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: %v", err)
	}
	if _, _, err := st.Stat(t.Context(), "f"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
	if err := st.List(t.Context(), "", func(string, int64, time.Time) error { return nil }); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, _, err := st.Stat(ctx, "f"); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("Stat: %v", err)
	}
}

// TestCancelOnStall checks that a context ends an operation on a connection
// that is silent, long before the connection is given up by itself.
func TestCancelOnStall(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, _ := through(t, s, p, sftp.Options{})
	p.SetFault(func(int) proxytest.Fault { return proxytest.Fault{StallAfter: 100_000} })
	p.CutAll()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for p.Stalled() == 0 && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	data := randomBytes(1, 1<<20)
	if err := st.Create(ctx, "f", bytes.NewReader(data), 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	p.SetFault(nil)
	p.CutAll()
	if _, _, err := st.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat after a Create that was cancelled: %v", err)
	}
}

// TestShortConnections cuts every connection after so few bytes that none of them carries more than one or two packets. A file much larger than that is
// stored all the same, and read back, with not many more connections than its bytes need.
func TestShortConnections(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, dir := through(t, s, p, sftp.Options{Connections: 1})
	// What has gone through has arrived before the next connection is made.
	p.SetFault(func(int) proxytest.Fault { return proxytest.Fault{CutAfter: 60_000, Settle: true} })
	p.CutAll()
	const size = 500_000
	data := randomBytes(7, size)
	before := p.Connections()
	if err := st.Create(t.Context(), "data/00/long", bytes.NewReader(data), size); err != nil {
		t.Fatalf("Create: %v", err)
	}
	// Each carries a packet of 32 KiB at least. The file is sent once, and once read back.
	if got, most := p.Connections()-before, 3*size/(32<<10)+10; got > most {
		t.Errorf("it took %d connections, want %d at most", got, most)
	}
	readAll(t, st, "data/00/long", data)
	p.SetFault(nil)
	got, err := os.ReadFile(filepath.Join(dir, "data", "00", "long"))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("what is stored differs: %d bytes, error %v", len(got), err)
	}
}

// TestTooShortConnections cuts every connection before it can carry a packet. That ends, and the error says so.
func TestTooShortConnections(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	p := proxytest.Start(t, s.Addr(), nil)
	st, dir := through(t, s, p, sftp.Options{Connections: 1, RetryFor: time.Second})
	p.SetFault(func(int) proxytest.Fault { return proxytest.Fault{CutAfter: 12_000} })
	p.CutAll()
	data := randomBytes(8, 500_000)
	err := st.Create(t.Context(), "data/00/long", bytes.NewReader(data), int64(len(data)))
	if err == nil || !strings.Contains(err.Error(), "given up after") {
		t.Errorf("Create: %v, want an error that says that it was given up", err)
	}
	direct, err := sftp.Open(t.Context(), location(s, dir), sftp.Options{SSH: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	if files := listed(t, direct); len(files) > 0 {
		t.Errorf("there is %v", files)
	}
}
