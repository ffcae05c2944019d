package sftp

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/snapkeep/snap/internal/sshconn"
)

// Location is where a store is kept.
type Location struct {
	Address sshconn.Address
	// Path is the folder, relative to the user's home if it does not begin
	// with a slash.
	Path string
}

// ParseLocation takes sftp://user@host:port/path apart. The path is absolute,
// or relative to the home folder if it begins with /~/.
func ParseLocation(s string) (Location, error) {
	rest, ok := strings.CutPrefix(s, "sftp://")
	if !ok {
		return Location{}, fmt.Errorf("%w: an SFTP store is written sftp://user@host/path, or sftp://user@host/~/path", fs.ErrInvalid)
	}
	u, err := url.Parse("sftp://" + rest)
	if err != nil {
		// The error of url.Parse has the text, which may hold a password.
		return Location{}, fmt.Errorf("%w: no valid address: want sftp://user@host/path", fs.ErrInvalid)
	}
	address, err := sshconn.AddressOf(u)
	if err != nil {
		return Location{}, err
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return Location{}, fmt.Errorf("%w: sftp://%s: ? and # are to be written %%3F and %%23", fs.ErrInvalid, address)
	}
	if strings.ContainsRune(u.Path, 0) {
		return Location{}, fmt.Errorf("%w: the path has a zero byte", fs.ErrInvalid)
	}
	folder := path.Clean("/" + u.Path)
	switch {
	case u.Path == "" || folder == "/":
		return Location{}, fmt.Errorf("%w: sftp://%s names no folder", fs.ErrInvalid, address)
	case folder == "/~":
		folder = "."
	case strings.HasPrefix(folder, "/~/"):
		folder = strings.TrimPrefix(folder, "/~/")
	}
	return Location{Address: address, Path: folder}, nil
}

// String returns the location in the form that ParseLocation takes.
func (l Location) String() string {
	folder := l.Path
	if !strings.HasPrefix(folder, "/") {
		folder = path.Join("/~", folder)
	}
	return "sftp://" + l.Address.String() + (&url.URL{Path: folder}).EscapedPath()
}
