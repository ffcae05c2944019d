package spool

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func randomBytes(size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	return data
}

func TestBuffer(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{0, blockBytes, 3 * blockBytes, 1 << 30} {
		for _, size := range []int{0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 5*blockBytes + 77} {
			pool := NewPool(memory, t.TempDir())
			b := pool.New()
			want := randomBytes(size)
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(2*blockBytes))
				if m, err := b.Write(rest[:n]); m != n || err != nil {
					t.Fatalf("Write: %d of %d bytes, error %v", m, n, err)
				}
				rest = rest[n:]
			}
			if b.Size() != int64(size) {
				t.Errorf("Size() = %d, want %d", b.Size(), size)
			}
			if err := iotest.TestReader(io.NewSectionReader(b, 0, b.Size()), want); err != nil {
				t.Errorf("memory %d, size %d: %v", memory, size, err)
			}
			readRanges(t, b, want)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if pool.free != int(memory/blockBytes) {
				t.Errorf("%d blocks are free after Close, want %d", pool.free, memory/blockBytes)
			}
		}
	}
}

func readRanges(t *testing.T, b *Buffer, want []byte) {
	t.Helper()
	for range 50 {
		off := rand.IntN(len(want) + 2)
		p := make([]byte, rand.IntN(len(want)+2))
		n, err := b.ReadAt(p, int64(off))
		expected := want[min(off, len(want)):min(off+len(p), len(want))]
		if !bytes.Equal(p[:n], expected) || (err == io.EOF) != (n < len(p)) || err != nil && err != io.EOF {
			t.Fatalf("ReadAt %d bytes at %d: %d bytes, error %v, or other contents", len(p), off, n, err)
		}
	}
}

// TestFileHasNoName checks that a crash leaves no file behind.
func TestFileHasNoName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := NewPool(0, dir).New()
	defer b.Close()
	if _, err := b.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("the folder has %d entries, error %v", len(entries), err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	b := NewPool(blockBytes, t.TempDir()).New()
	if _, err := b.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, err := b.Write([]byte("data")); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write after Close: %d bytes, error %v", n, err)
	}
	if n, err := b.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("ReadAt after Close: %d bytes, error %v", n, err)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	pool := NewPool(2*blockBytes, t.TempDir())
	want := randomBytes(5 * blockBytes)
	b, err := pool.Collect(t.Context(), bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes with error %v, or other contents", len(got), err)
	}
	b.Close()
	for _, size := range []int64{3, 5, -1} {
		if _, err := pool.Collect(t.Context(), strings.NewReader("data"), size); err == nil {
			t.Errorf("Collect with 4 bytes where %d were announced: no error", size)
		}
	}
	if pool.free != 2 {
		t.Errorf("%d blocks are free at the end, want 2", pool.free)
	}
}

func TestNoFolderForFiles(t *testing.T) {
	t.Parallel()
	b := NewPool(blockBytes, "/nowhere/at/all").New()
	defer b.Close()
	n, err := b.Write(make([]byte, blockBytes+1))
	if n != blockBytes || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Write: %d bytes, error %v", n, err)
	}
}
