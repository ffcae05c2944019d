package s3

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/snapkeep/snap/internal/nss"
)

func newTransport(secure bool, opts Options) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: min(opts.Timeout, 30*time.Second)}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := nss.Dial(ctx, &dialer, network, address)
		if err != nil {
			return nil, err
		}
		return &movingConn{Conn: c, timeout: opts.Timeout}, nil
	}
	t.MaxIdleConnsPerHost = opts.Connections
	t.ResponseHeaderTimeout = 0 // the connection has one that knows of progress
	t.WriteBufferSize = 64 << 10
	t.ReadBufferSize = 64 << 10
	return t, nil
}

// dated is a transport that notes the time in the answers of the server.
type dated struct {
	http.RoundTripper
	latest *atomic.Int64 // seconds
}

// RoundTrip implements http.RoundTripper.
func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.latest.Store(at.Unix())
	}
	return resp, nil
}

// StorageTime returns the time that the latest answer told, by the clock of the server and to the second; zero before the first.
func (s *Store) StorageTime() time.Time {
	if at := s.latest.Load(); at != 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// movingConn is a connection that fails when nothing moves on it for a while,
// in either direction.
type movingConn struct {
	net.Conn
	timeout time.Duration
}

func (c *movingConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write moves the deadline of a Read that is waiting, too: an answer comes only
// when all is written.
func (c *movingConn) Write(p []byte) (int, error) {
	const piece = 64 << 10
	n := 0
	for {
		if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:min(n+piece, len(p))])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
