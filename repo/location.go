package repo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/snapkeep/snap/internal/store/local"
	"github.com/snapkeep/snap/internal/store/s3"
	"github.com/snapkeep/snap/internal/store/sftp"
)

// StoreOptions are choices for opening a store that is elsewhere. The zero value is the
// default; none changes the bytes that are stored.
type StoreOptions struct {
	// SSHCommand connects to SFTP stores in place of the client that is built in: "ssh"
	// with options, for instance. Words are separated by blanks and may be quoted; there
	// is no shell. What is appended is "-s", port, user, host and "sftp".
	SSHCommand string
	// StorageClass is that of packs of data in an S3 store. Default: that of the bucket.
	StorageClass string
	// Connections bounds the connections to an SFTP server (default 4) or the requests at
	// once to an S3 one (default 16).
	Connections int
	// ObjectLock lets a bucket that Create makes have Object Lock. It has no meaning for other stores.
	ObjectLock bool
	// SpoolDir is a folder for files on their way to the store, as far as they do not fit
	// in 64 MiB of memory. Default: the system's for temporary files.
	SpoolDir string
}

// OpenStore opens the store at a URL, with default options: a path, file:///path,
// sftp://user@host/path, sftp://user@host/~/path or s3:https://host/bucket/prefix. The
// error is fs.ErrNotExist if there is no such folder; a bucket is first asked for by the
// first operation.
func OpenStore(ctx context.Context, location string) (Store, error) {
	return StoreOptions{}.Open(ctx, location)
}

// CreateStore makes and opens the store at a URL for a new repository, with default
// options. A folder that exists has to be empty, or the error wraps fs.ErrExist; the prefix of a bucket has to be empty as well.
func CreateStore(ctx context.Context, location string) (Store, error) {
	return StoreOptions{}.Create(ctx, location)
}

// Open opens a store as OpenStore does.
func (o StoreOptions) Open(ctx context.Context, location string) (Store, error) {
	return o.start(ctx, location, starters{local.Open, sftp.Open, s3.Open})
}

// Create makes and opens a store as CreateStore does.
func (o StoreOptions) Create(ctx context.Context, location string) (Store, error) {
	return o.start(ctx, location, starters{local.Create, sftp.Create, s3.Create})
}

// starters open or create stores of each kind.
type starters struct {
	local func(path string, opts local.Options) (*local.Store, error)
	sftp  func(ctx context.Context, at sftp.Location, opts sftp.Options) (*sftp.Store, error)
	s3    func(ctx context.Context, at s3.Location, opts s3.Options) (*s3.Store, error)
}

func (o StoreOptions) start(ctx context.Context, location string, start starters) (Store, error) {
	kind, err := kindOf(location)
	if err != nil {
		return nil, err
	}
	var store Store
	switch kind {
	case "sftp":
		store, err = o.startSFTP(ctx, location, start.sftp)
	case "s3":
		store, err = o.startS3(ctx, location, start.s3)
	default:
		store, err = startLocal(location, start.local)
	}
	if err != nil {
		return nil, err // and not a store that is a nil pointer
	}
	return store, nil
}

// kindOf returns the kind of store that a location names.
func kindOf(location string) (string, error) {
	if location == "" {
		return "", errors.New("no repository given")
	}
	scheme, rest, ok := strings.Cut(location, ":")
	if !ok || strings.ContainsAny(scheme, "/.") {
		return "path", nil
	}
	switch scheme {
	case "file", "local", "sftp", "s3":
		return scheme, nil
	}
	if strings.Contains(rest, "@") {
		location = scheme + ":..." // may hold a password
	}
	return "", fmt.Errorf("repository %q: unknown kind of store %q: want a path, file:///path, sftp://user@host/path or s3:https://host/bucket/prefix", location, scheme)
}

func startLocal(location string, start func(string, local.Options) (*local.Store, error)) (Store, error) {
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	return start(path, local.Options{})
}

func localPath(location string) (string, error) {
	scheme, rest, ok := strings.Cut(location, ":")
	if !ok || strings.ContainsAny(scheme, "/.") {
		return filepath.Abs(location)
	}
	if strings.HasPrefix(rest, "//") {
		u, err := url.Parse(location)
		if err != nil {
			return "", errors.New("repository: no valid URL: write file:///path")
		}
		if u.Host != "" && u.Host != "localhost" || u.User != nil {
			return "", fmt.Errorf("repository %q: a file URL names no host: write file:///path", u.Redacted())
		}
		rest = u.Path
	}
	return filepath.Abs(rest)
}

func (o StoreOptions) startSFTP(ctx context.Context, location string, start func(context.Context, sftp.Location, sftp.Options) (*sftp.Store, error)) (Store, error) {
	at, err := sftp.ParseLocation(location)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	command, err := sftp.ParseCommand(o.SSHCommand)
	if err != nil {
		return nil, fmt.Errorf("ssh command: %w", err)
	}
	return start(ctx, at, sftp.Options{SSH: sftp.SSHOptions{Command: command}, Connections: o.Connections, SpoolDir: o.SpoolDir})
}

func (o StoreOptions) startS3(ctx context.Context, location string, start func(context.Context, s3.Location, s3.Options) (*s3.Store, error)) (Store, error) {
	at, err := s3.ParseLocation(location)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	return start(ctx, at, s3.Options{StorageClass: o.StorageClass, Connections: o.Connections, SpoolDir: o.SpoolDir, ObjectLock: o.ObjectLock, Unique: isUnique})
}
