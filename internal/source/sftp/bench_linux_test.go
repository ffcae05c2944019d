package sftp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/repo"
)

// BenchmarkUnchanged pulls a tree that has not changed through a real sshd: the folder that SNAP_BENCH_TREE names, or one
// of 4,000 files, with a delay of SNAP_BENCH_DELAY each way. It gives the time of the whole pull, with that of connecting.
func BenchmarkUnchanged(b *testing.B) {
	root := os.Getenv("SNAP_BENCH_TREE")
	if root == "" {
		root = b.TempDir()
		for i := range 4000 {
			name := filepath.Join(root, fmt.Sprintf("d%d/e%d/f%d", i%40, i%7, i))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(name), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	server := sshdtest.Start(b, sshdtest.Options{})
	port := server.Port
	if delay, err := time.ParseDuration(os.Getenv("SNAP_BENCH_DELAY")); err == nil {
		proxy := proxytest.Start(b, server.Addr(), func(int) proxytest.Fault { return proxytest.Fault{Latency: delay} })
		port = proxy.Port()
		server.AddKnownPort(port)
	}
	r := vault(b)
	pull := func() *repo.BackupResult {
		res, _, err := pull(b, r, dialer(b, server, port), sftp.Options{Roots: []string{root}})
		if err != nil {
			b.Fatal(err)
		}
		return res
	}
	first := pull()
	for b.Loop() {
		if res := pull(); res.Summary.Files != first.Summary.Files {
			b.Fatalf("%d files, %d before", res.Summary.Files, first.Summary.Files)
		}
	}
	b.ReportMetric(first.Snapshot.End.Sub(first.Snapshot.Time).Seconds(), "first-s")
	b.ReportMetric(float64(first.Summary.Files), "files")
}
