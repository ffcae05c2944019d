package crashtest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	clusterNodes  = 4
	clusterUser   = "cluster-test"
	clusterSecret = "secret-of-a-cluster-for-tests"
	clusterStarts = 2 * time.Minute // until all nodes answer
)

// cluster is a MinIO of four nodes on this machine, behind a proxy that leads each connection to a node that runs.
type cluster struct {
	testing.TB
	program string
	dir     string
	ports   []int
	proxy   net.Listener
	passed  atomic.Int64 // bytes through the proxy

	mu    sync.Mutex // guards what follows
	nodes []*exec.Cmd
	next  int
}

// startCluster starts a cluster that ends with the test. The program comes from `make cluster-test`.
func startCluster(t testing.TB) *cluster {
	t.Helper()
	program := os.Getenv("SNAP_CLUSTER_TEST")
	if program == "" {
		t.Skip("takes minutes, and a MinIO: make cluster-test")
	}
	c := &cluster{TB: t, program: program, dir: folder(t), nodes: make([]*exec.Cmd, clusterNodes)}
	for range clusterNodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.ports = append(c.ports, l.Addr().(*net.TCPAddr).Port)
		l.Close()
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.kill(i)
		}
	})
	for i := range c.nodes {
		c.start(i)
	}
	c.wait(clusterNodes)
	c.listen()
	return c
}

// start starts a node on the folder that it has.
func (c *cluster) start(i int) {
	c.Helper()
	args := []string{"server", "--quiet", "--address", fmt.Sprintf("127.0.0.1:%d", c.ports[i])}
	for n, port := range c.ports {
		args = append(args, fmt.Sprintf("http://127.0.0.1:%d%s/node%d", port, c.dir, n))
	}
	cmd := exec.Command(c.program, args...)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+clusterUser, "MINIO_ROOT_PASSWORD="+clusterSecret, "MINIO_CI_CD=true", "MINIO_BROWSER=off",
		fmt.Sprintf("_MINIO_SERVER_LOCAL=127.0.0.1:%d", c.ports[i]), // in a container it does not believe that loopback addresses are local
		"HOME="+c.dir)
	log, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("log%d", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i] = cmd
}

// kill ends a node as a failed power supply does.
func (c *cluster) kill(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cmd := c.nodes[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		c.nodes[i] = nil
	}
}

// wait waits until a number of nodes say that the cluster may be written to.
func (c *cluster) wait(want int) {
	c.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	for began := time.Now(); time.Since(began) < clusterStarts; time.Sleep(300 * time.Millisecond) {
		ready := 0
		for _, port := range c.ports {
			response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/minio/health/cluster", port))
			if err != nil {
				continue
			}
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				ready++
			}
		}
		if ready >= want {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.dir, "log0")) // as far as there is one
	c.Fatalf("the cluster does not start:\n%s", log)
}

// listen starts the proxy.
func (c *cluster) listen() {
	c.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.Fatal(err)
	}
	c.proxy = l
	c.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.lead(conn)
		}
	}()
}

// lead leads a connection to the next node that runs.
func (c *cluster) lead(client net.Conn) {
	defer client.Close()
	c.mu.Lock()
	port := 0
	for range clusterNodes {
		if c.next = (c.next + 1) % clusterNodes; c.nodes[c.next] != nil {
			port = c.ports[c.next]
			break
		}
	}
	c.mu.Unlock()
	node, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return
	}
	defer node.Close()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(io.MultiWriter(to, counting{&c.passed}), from) // ends when either side does
		done <- struct{}{}
	}
	go pass(node, client)
	go pass(client, node)
	<-done
}

type counting struct{ n *atomic.Int64 }

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// clusterSite is a repository in the cluster.
type clusterSite struct {
	*cluster
	snap, source string
}

// command returns a command of the program.
func (s *clusterSite) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.snap, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "SNAP_") }),
		"HOME="+s.dir, "SNAP_PASSWORD=secret", "SNAP_REPOSITORY=s3:http://"+s.proxy.Addr().String()+"/bucket/repo", "AWS_ACCESS_KEY_ID="+clusterUser,
		"AWS_SECRET_ACCESS_KEY="+clusterSecret, "AWS_REGION=us-east-1")
	return cmd
}

func (s *clusterSite) must(args ...string) string {
	s.Helper()
	cmd := s.command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("snap %q: %v: %s", args, err, errs.String())
	}
	return string(out)
}

// losing runs a command that has to succeed, and kills a node when some bytes have gone through.
func (s *clusterSite) losing(node int, after int64, args ...string) {
	s.Helper()
	cmd := s.command(args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	from := s.passed.Load()
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	killed := false
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-tick.C:
			if !killed && s.passed.Load()-from >= after {
				s.kill(node)
				killed = true
			}
			continue
		case err := <-ended:
			tick.Stop()
			if err != nil {
				s.Fatalf("snap %q with node %d lost: %v: %s", args, node, err, said.String())
			}
		}
		break
	}
	if !killed {
		s.Fatalf("snap %q ended after %d bytes: nothing was tested", args, s.passed.Load()-from)
	}
	s.Logf("snap %s: a node was killed after %d of %d KiB", args[0], after>>10, (s.passed.Load()-from)>>10)
	s.start(node)
	s.wait(clusterNodes)
}

// change makes every step-th file anew.
func (s *clusterSite) change(rng *rand.ChaCha8, files, step int) {
	s.Helper()
	for i := 0; i < files; i += step {
		data := make([]byte, 700_000)
		rng.Read(data)
		if err := os.WriteFile(filepath.Join(s.source, fmt.Sprintf("f%03d", i)), data, 0o644); err != nil {
			s.Fatal(err)
		}
	}
}

// TestClusterLosesANode kills a node of a cluster in the middle of a backup, a prune and a restore, each another one. All of them succeed, and
// nothing is lost.
func TestClusterLosesANode(t *testing.T) {
	snap, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s := &clusterSite{cluster: startCluster(t), snap: snap}
	if s.source = filepath.Join(s.dir, "source"); os.Mkdir(s.source, 0o755) != nil {
		t.Fatal("no folder for the source")
	}
	rng := rand.NewChaCha8([32]byte{byte(seed(1))})
	all := size(120, 400)
	s.must("init", "--pack-size", "8")
	rounds := size(2, 6)
	for round := range rounds {
		s.change(rng, all, 1)
		s.losing((3*round)%clusterNodes, 20<<20, "backup", s.source)
		want := manifestOf(t, s.source)
		s.change(rng, all, 2) // a half of each pack is needed by the forgotten snapshot only
		s.must("backup", s.source)
		last := manifestOf(t, s.source)
		target := filepath.Join(s.dir, "restored")
		restored := func(snapshot string, want manifest, how func(args ...string)) {
			t.Helper()
			how("restore", snapshot+":"+s.source, "--target", target)
			if d := want.diff(manifestOf(t, target)); d != "" {
				t.Fatalf("round %d: %s: %s", round, snapshot, d)
			}
			if err := os.RemoveAll(target); err != nil {
				t.Fatal(err)
			}
		}
		restored("latest~1", want, func(args ...string) { s.losing((3*round+1)%clusterNodes, 20<<20, args...) })
		s.must("forget", "latest~1", "--now")
		s.losing((3*round+2)%clusterNodes, 4<<20, "prune", "--now", "--max-unused", "0%")
		restored("latest", last, func(args ...string) { s.must(args...) })
		s.must("check", "--read-data")
	}
	t.Logf("%d nodes killed, 0 bytes lost", 3*rounds)
}
