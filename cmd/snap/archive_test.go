package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
)

// archive is in front of an S3 server and gives no pack of file data out until its name stands in a file in folder.
type archive struct {
	*httptest.Server
	folder string
}

func startArchive(t *testing.T, objects *s3test.Server) *archive {
	a := &archive{folder: t.TempDir()}
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: objects.Proxy.Addr()})
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, name, isData := strings.Cut(r.URL.Path, "/data/")
		if r.Method != http.MethodGet || !isData || a.isWarm(t, "data/"+name) {
			pass.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>InvalidObjectState</Code><StorageClass>GLACIER</StorageClass></Error>`)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *archive) isWarm(t *testing.T, name string) bool {
	files, err := filepath.Glob(a.folder + "/*")
	if err != nil {
		t.Error(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), name+"\n") {
			return true
		}
	}
	return false
}
