package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
)

func TestParseLocation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		url  string
		want s3.Location
		text string
	}{
		{"s3:https://s3.example.net/bucket", s3.Location{Host: "s3.example.net", Bucket: "bucket"}, ""},
		{"s3:http://127.0.0.1:9000/bucket/a/b", s3.Location{Host: "127.0.0.1:9000", Plain: true, Bucket: "bucket", Prefix: "a/b"}, ""},
		{"s3:s3.amazonaws.com/bucket/prefix/", s3.Location{Host: "s3.amazonaws.com", Bucket: "bucket", Prefix: "prefix"}, "s3:https://s3.amazonaws.com/bucket/prefix"},
		{"s3:host:9000/bucket", s3.Location{Host: "host:9000", Bucket: "bucket"}, "s3:https://host:9000/bucket"},
		{"s3:https://[::1]:9000/bucket/a%20b", s3.Location{Host: "[::1]:9000", Bucket: "bucket", Prefix: "a b"}, ""},
	} {
		got, err := s3.ParseLocation(test.url)
		if err != nil || got != test.want {
			t.Errorf("ParseLocation(%q) = %+v, %v", test.url, got, err)
		}
		if test.text == "" {
			test.text = test.url
		}
		if got.String() != test.text {
			t.Errorf("ParseLocation(%q).String() = %q", test.url, got.String())
		}
	}
	for _, url := range []string{
		"", "s3:", "s3://bucket/prefix", "s3:https://host", "s3:https://host/", "s3:ftp://host/bucket", "s3:https://host/Bucket/x",
		"s3:https://key:secret@host/bucket", "s3:https://host/bucket?secret", "s3:https://host/bucket#secret", "s3:https://host/bucket/a//b",
		"s3:https://host/bucket/../x", "s3:https://host/bucket/a%00", "s3:https://host:port/bucket/secret", "s3:https:///bucket/x",
		"s3:https://host/bucket/" + strings.Repeat("x", 600),
	} {
		got, err := s3.ParseLocation(url)
		if err == nil {
			t.Errorf("ParseLocation(%q) = %+v", url, got)
		} else if !errors.Is(err, fs.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseLocation(%q): %v", url, err)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	f.Add("s3:https://host:9000/bucket/prefix")
	f.Fuzz(func(t *testing.T, url string) {
		l, err := s3.ParseLocation(url)
		if err != nil {
			return
		}
		again, err := s3.ParseLocation(l.String())
		if err != nil || again != l {
			t.Errorf("%q is %+v, and written as %q it is %+v, error %v", url, l, l.String(), again, err)
		}
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	place := location(server, "p")
	opts := s3.Options{Credentials: server.Credentials()}
	st, err := s3.Open(t.Context(), place, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat without a bucket: %v", err)
	}
	if err := st.List(t.Context(), "", func(string, int64, time.Time) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List without a bucket: %v", err)
	}
	st.Close()
	if _, _, err := st.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Stat after Close: %v", err)
	}
	st = create(t, place, server, opts)
	defer st.Close()
	if err := st.Create(t.Context(), "f", strings.NewReader("data"), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.Create(t.Context(), place, opts); !errors.Is(err, fs.ErrExist) || !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("Create where something is: %v", err)
	}
	beside := place
	beside.Prefix = "p2"
	create(t, beside, server, opts).Close()
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	place := location(server, "")
	create(t, place, server, s3.Options{}).Close()
	st, err := s3.Open(t.Context(), place, s3.Options{Credentials: credentials.NewStaticV4(s3test.AccessKey, "wrong", "")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	err = st.Create(t.Context(), "f", strings.NewReader("data"), 4)
	if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("Create with a wrong secret: %v", err)
	}
	if err := st.List(t.Context(), "", func(string, int64, time.Time) error { return nil }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("List with a wrong secret: %v", err)
	}
}

// noCredentials takes away all that the machine may have.
func noCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestFindsCredentials(t *testing.T) {
	server := s3test.Start(t)
	place := location(server, "")
	create(t, place, server, s3.Options{}).Close()
	role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Expiration":%q}`, s3test.AccessKey, s3test.SecretKey,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer role.Close()
	for name, set := range map[string]func(t *testing.T){
		"Environment": func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
			t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
			t.Setenv("AWS_REGION", "us-east-1")
		},
		"Profile": func(t *testing.T) {
			text := fmt.Sprintf("[default]\naws_access_key_id=no\naws_secret_access_key=no\n[backup]\naws_access_key_id=%s\naws_secret_access_key=%s\n",
				s3test.AccessKey, s3test.SecretKey)
			if err := os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_PROFILE", "backup")
		},
		"Role": func(t *testing.T) { t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL) },
	} {
		t.Run(name, func(t *testing.T) {
			noCredentials(t)
			set(t)
			st, err := s3.Open(t.Context(), place, s3.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if got := listed(t, st); len(got) > 0 {
				t.Errorf("List gives %v", got)
			}
		})
	}
	t.Run("None", func(t *testing.T) {
		noCredentials(t)
		if _, err := s3.Open(t.Context(), place, s3.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
			t.Errorf("Open: %v", err)
		}
	})
}

// counter counts requests by what they do.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
	header []http.Header
}

func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return tripper(func(req *http.Request) (*http.Response, error) {
		kind := req.Method
		query := req.URL.Query()
		for _, name := range []string{"list-type", "uploads", "partNumber", "uploadId", "location"} {
			if query.Has(name) {
				kind += " " + name
				break
			}
		}
		c.mu.Lock()
		c.counts[kind]++
		c.header = append(c.header, req.Header.Clone())
		c.mu.Unlock()
		return next.RoundTrip(req)
	})
}

// take returns what was counted since it was last called.
func (c *counter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts, c.header = make(map[string]int), nil
	return counts
}

// TestRequests counts the requests that each operation makes. None deletes but
// Remove.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	c := &counter{counts: make(map[string]int)}
	opts := small
	opts.Wrap, opts.Region, opts.ListPage = c.wrap, "us-east-1", 3
	st := create(t, location(server, "p"), server, opts)
	defer st.Close()
	c.take()
	put := func(name string, size int) error {
		return st.Create(t.Context(), name, bytes.NewReader(randomBytes(1, size)), int64(size))
	}
	steps := []struct {
		name string
		run  func() error
		want map[string]int
	}{
		{"create", func() error { return put("a", 100) }, map[string]int{"HEAD": 1, "PUT": 2}}, // the second is refused, which tells something
		{"create another", func() error { return put("0", 100) }, map[string]int{"PUT": 1}},
		{"create in parts", func() error { return put("b", 11<<20) },
			map[string]int{"POST uploads": 1, "PUT partNumber": 3, "POST uploadId": 1}},
		{"create a second time", func() error {
			if err := put("a", 10); !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("no fs.ErrExist: %w", err)
			}
			return nil
		}, map[string]int{"PUT": 1, "HEAD": 1}},
		{"stat", func() error { _, _, err := st.Stat(t.Context(), "a"); return err }, map[string]int{"HEAD": 1}},
		{"read", func() error { _, err := st.ReadAt(t.Context(), "a", make([]byte, 100), 0); return err }, map[string]int{"GET": 1}},
		{"read much", func() error { _, err := st.ReadAt(t.Context(), "b", make([]byte, 7<<19), 5); return err }, map[string]int{"GET": 4}},
		{"create more", func() error { return errors.Join(put("c", 0), put("d", 1), put("e", 1), put("f", 1), put("g", 1)) },
			map[string]int{"PUT": 5}},
		{"list", func() error {
			return st.List(t.Context(), "", func(string, int64, time.Time) error { return nil })
		}, map[string]int{"GET list-type": 3}},
		{"remove", func() error { return st.Remove(t.Context(), "a") }, map[string]int{"HEAD": 1, "DELETE": 1}},
		{"delete", func() error { return errors.Join(st.Delete(t.Context(), "0"), st.Delete(t.Context(), "0")) }, map[string]int{"DELETE": 2}},
		{"delete many", func() error {
			gone, err := st.DeleteAll(t.Context(), []string{"b", "c", "nothing", "d"})
			if len(gone) != 4 {
				err = fmt.Errorf("gone: %q, %w", gone, err)
			}
			return err
		}, map[string]int{"POST": 1}},
		{"delete one of many", func() error { _, err := st.DeleteAll(t.Context(), []string{"e"}); return err }, map[string]int{"DELETE": 1}},
		{"list what is left", func() error {
			var left []string
			err := st.List(t.Context(), "", func(name string, _ int64, _ time.Time) error {
				left = append(left, name)
				return nil
			})
			if !slices.Equal(left, []string{"f", "g"}) {
				err = fmt.Errorf("left: %q, %w", left, err)
			}
			return err
		}, map[string]int{"GET list-type": 1}},
	}
	for _, step := range steps {
		if err := step.run(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if got := c.take(); !maps.Equal(got, step.want) {
			t.Errorf("%s: requests %v, want %v", step.name, got, step.want)
		}
	}
}

// TestDeleteAllWithoutBulk removes files of a server that fails, or refuses, requests for many.
func TestDeleteAllWithoutBulk(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for status, kept := range map[int]bool{http.StatusNotImplemented: false, http.StatusServiceUnavailable: false, http.StatusForbidden: true} {
		opts := small
		opts.Region = "us-east-1"
		opts.Wrap = func(next http.RoundTripper) http.RoundTripper {
			return tripper(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodPost || kept && req.Method == http.MethodDelete {
					return &http.Response{StatusCode: status, Request: req, Body: http.NoBody, Header: http.Header{}}, nil
				}
				return next.RoundTrip(req)
			})
		}
		st := create(t, location(server, fmt.Sprint("p", status)), server, opts)
		defer st.Close()
		for _, name := range []string{"a", "b"} {
			if err := st.Create(t.Context(), name, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
		gone, err := st.DeleteAll(t.Context(), []string{"a", "b"})
		if kept && (len(gone) > 0 || !errors.Is(err, fs.ErrPermission)) || !kept && (len(gone) != 2 || err != nil) {
			t.Errorf("status %d: gone %q, %v", status, gone, err)
		}
		left := 0
		if err := st.List(t.Context(), "", func(string, int64, time.Time) error { left++; return nil }); err != nil || left != 2-len(gone) {
			t.Errorf("status %d: %d files are left, %v", status, left, err)
		}
	}
}

// TestDeleteAllTellsWhatIsGone removes files of which the server refuses one.
func TestDeleteAllTellsWhatIsGone(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	opts := small
	opts.Region = "us-east-1"
	opts.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(req *http.Request) (*http.Response, error) {
			switch req.Method {
			case http.MethodPost:
				const answer = `<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code></Error><Deleted><Key>p/b</Key></Deleted></DeleteResult>`
				return &http.Response{StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(strings.NewReader(answer)), Header: http.Header{}}, nil
			case http.MethodDelete:
				return &http.Response{StatusCode: http.StatusForbidden, Request: req, Body: http.NoBody, Header: http.Header{}}, nil
			}
			return next.RoundTrip(req)
		})
	}
	st := create(t, location(server, "p"), server, opts)
	defer st.Close()
	if gone, err := st.DeleteAll(t.Context(), []string{"a", "b"}); !errors.Is(err, fs.ErrPermission) || !slices.Equal(gone, []string{"b"}) {
		t.Errorf("gone %q, %v", gone, err)
	}
}

// TestHeedsConditions checks that a server that heeds conditions is not asked
// for names any more.
func TestHeedsConditions(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	place := location(server, "p")
	c := &counter{counts: make(map[string]int)}
	st := create(t, place, server, s3.Options{Wrap: c.wrap, Region: "us-east-1"})
	defer st.Close()
	// The name is taken after it was looked at.
	var once sync.Once
	racing := create(t, location(server, "other"), server, s3.Options{})
	racing.Close()
	late, err := s3.Open(t.Context(), place, s3.Options{Credentials: server.Credentials(), Region: "us-east-1", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return c.wrap(tripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPut {
				once.Do(func() {
					if err := st.Create(t.Context(), "f", strings.NewReader("first"), 5); err != nil {
						t.Errorf("Create: %v", err)
					}
				})
			}
			return next.RoundTrip(req)
		}))
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := late.Create(t.Context(), "f", strings.NewReader("again"), 5); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a name that was taken meanwhile: %v", err)
	}
	readAll(t, late, "f", []byte("first"))
	c.take()
	if err := late.Create(t.Context(), "g", strings.NewReader("data"), 4); err != nil {
		t.Fatal(err)
	}
	if got := c.take(); !maps.Equal(got, map[string]int{"PUT": 1}) {
		t.Errorf("requests %v", got)
	}
}

func TestStorageClass(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	c := &counter{counts: make(map[string]int)}
	st := create(t, location(server, "data"), server, s3.Options{Wrap: c.wrap, Region: "us-east-1", StorageClass: "STANDARD", PartBytes: 5 << 20})
	defer st.Close()
	if err := st.Create(t.Context(), "first", strings.NewReader("x"), 1); err != nil { // it is put twice, to learn what the server heeds
		t.Fatal(err)
	}
	for name, want := range map[string]string{"data/f": "STANDARD", "data/g": "STANDARD", "meta/f": "", "f": ""} {
		c.take()
		size := 10
		if name == "data/g" {
			size = 6 << 20
		}
		if err := st.Create(t.Context(), name, bytes.NewReader(randomBytes(1, size)), int64(size)); err != nil {
			t.Errorf("Create %q: %v", name, err)
		}
		got := ""
		for _, header := range c.header {
			got += header.Get("X-Amz-Storage-Class")
		}
		if got != want {
			t.Errorf("%q is put in class %q, want %q", name, got, want)
		}
	}
}

// TestForeignObjects checks that what others put beside is no file.
func TestForeignObjects(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	place := location(server, "p")
	st := create(t, place, server, s3.Options{})
	defer st.Close()
	if err := st.Create(t.Context(), "f", strings.NewReader("data"), 4); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p/Upper", "p/with space", "px", "p2/f"} {
		file := filepath.Join(server.Dir, place.Bucket, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := listed(t, st); len(got) != 1 {
		t.Errorf("List gives %v", got)
	}
}
