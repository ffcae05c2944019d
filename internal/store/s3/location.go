package s3

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/snapkeep/snap/internal/store"
)

// Location is where a store is kept.
type Location struct {
	Host   string // with the port, if it is not the usual one
	Plain  bool   // without TLS
	Bucket string
	Prefix string // of all names, without slashes at its ends; may be empty
}

// ParseLocation takes s3:https://host:port/bucket/prefix apart, or the same
// with http://, or without a scheme, which is https.
func ParseLocation(s string) (Location, error) {
	usage := fmt.Errorf("%w: an S3 store is written s3:https://host/bucket/prefix", fs.ErrInvalid)
	rest, ok := strings.CutPrefix(s, "s3:")
	if !ok || strings.HasPrefix(rest, "//") {
		return Location{}, usage
	}
	if !strings.Contains(rest, "://") {
		rest = "https://" + rest
	}
	u, err := url.Parse(rest)
	if err != nil {
		return Location{}, usage // and not what was written, which may hold a secret
	}
	if u.User != nil {
		return Location{}, fmt.Errorf("%w: keys do not belong in the address of an S3 store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", fs.ErrInvalid)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return Location{}, usage
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	l := Location{Host: u.Host, Plain: u.Scheme == "http", Bucket: bucket, Prefix: strings.Trim(prefix, "/")}
	return l, l.check()
}

func (l Location) check() error {
	if err := s3utils.CheckValidBucketNameStrict(l.Bucket); err != nil {
		return fmt.Errorf("%w: bucket %q: %v", fs.ErrInvalid, l.Bucket, err)
	}
	if l.Prefix == "" {
		return nil
	}
	// The keys of S3 may be up to 1,024 bytes; names have up to 200 of them.
	if len(l.Prefix) > 512 || path.Clean("/"+l.Prefix) != "/"+l.Prefix || strings.ContainsFunc(l.Prefix, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return fmt.Errorf("%w: prefix %q", fs.ErrInvalid, l.Prefix)
	}
	return nil
}

// String returns the location in the form that ParseLocation takes.
func (l Location) String() string {
	scheme := "https"
	if l.Plain {
		scheme = "http"
	}
	u := url.URL{Scheme: scheme, Host: l.Host, Path: "/" + path.Join(l.Bucket, l.Prefix)}
	return "s3:" + u.String()
}

// key returns the name of the object for a file.
func (l Location) key(name string) string {
	if l.Prefix == "" {
		return name
	}
	return l.Prefix + "/" + name
}

// name returns the file that an object is, if it is one.
func (l Location) name(key string) (string, bool) {
	if l.Prefix != "" {
		var ok bool
		if key, ok = strings.CutPrefix(key, l.Prefix+"/"); !ok {
			return "", false
		}
	}
	return key, store.CheckName(key) == nil
}
