package s3_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
	"github.com/snapkeep/snap/repo/storetest"
)

// bucket numbers the buckets of all tests.
var buckets atomic.Int64

func location(s *s3test.Server, prefix string) s3.Location {
	return s3.Location{Host: s.Proxy.Addr(), Plain: true, Bucket: fmt.Sprintf("bucket-%d", buckets.Add(1)), Prefix: prefix}
}

func create(t *testing.T, l s3.Location, s *s3test.Server, opts s3.Options) *s3.Store {
	t.Helper()
	opts.Credentials = s.Credentials()
	st, err := s3.Create(t.Context(), l, opts)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]s3.Options{
		"Default": {},
		"Small":   {PartBytes: 5 << 20, RangeBytes: 100_000, ListPage: 3, MemoryBytes: 1 << 20, Connections: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := s3test.Start(t)
			storetest.Test(t, func(t *testing.T) storetest.Store {
				return create(t, location(server, "some/prefix"), server, opts)
			})
			t.Run("Reopen", func(t *testing.T) {
				storetest.TestReopen(t, func(t *testing.T) func() (storetest.Store, error) {
					place := location(server, "")
					create(t, place, server, opts).Close()
					opts := opts
					opts.Credentials = server.Credentials()
					return func() (storetest.Store, error) { return s3.Open(t.Context(), place, opts) }
				})
			})
		})
	}
}
