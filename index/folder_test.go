package index

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestSweepRemovesRubbishOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const listed, unlisted = "00112233445566778899aabbccddeeff.table", "ffeeddccbbaa99887766554433221100.table"
	for _, name := range []string{listed, unlisted, "manifest", "snap-index-young", "snap-index-old", "other.table", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-tempLifetime - time.Hour)
	for _, name := range []string{"snap-index-old", "other"} {
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir, []string{listed})
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{listed, "manifest", "other", "other.table", "snap-index-young"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDecodeManifest(t *testing.T) {
	t.Parallel()
	const table = "00112233445566778899aabbccddeeff.table"
	for _, m := range []manifest{{}, {boot: "b"}, {boot: "b", tables: []string{table, table}}} {
		data := m.encode()
		got := decodeManifest(data)
		if got.boot != m.boot || !slices.Equal(got.tables, m.tables) {
			t.Errorf("got %v, want %v", got, m)
		}
		for i := range data {
			bad := slices.Clone(data)
			bad[i] ^= 1
			if got := decodeManifest(bad); got.boot != "" || got.tables != nil {
				t.Errorf("byte %d changed: got %v", i, got)
			}
			if got := decodeManifest(data[:i]); got.boot != "" || got.tables != nil {
				t.Errorf("cut to %d bytes: got %v", i, got)
			}
		}
	}
	if got := decodeManifest(manifest{boot: "b", tables: []string{"../../elsewhere"}}.encode()); got.tables != nil {
		t.Errorf("name that is no table's: got %v", got)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(manifest{boot: "b", tables: []string{"00112233445566778899aabbccddeeff.table"}}.encode())
	f.Add([]byte("sum "))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m := decodeManifest(data); m.boot != "" && !slices.Equal(m.encode(), data) {
			t.Errorf("%q reads as %v", data, m)
		}
	})
}
