package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/source/dump"
	"go.yaml.in/yaml/v3"
)

// DefaultPolicy is where the policy of a source stands.
const DefaultPolicy = "/etc/snap/agent.yaml"

const maxPolicy = 1 << 20 // bytes of a policy file

// ErrPolicy says that a policy cannot be used.
var ErrPolicy = errors.New("policy")

// Policy is what the owner of a source allows a server to read and to run. The file belongs to root.
type Policy struct {
	// Roots are folders and files that may be read, with all below.
	Roots []string `yaml:"roots"`
	// Devices are block devices, or image files, that may be read as data.
	Devices []string `yaml:"devices"`
	// Exclude are patterns, as of --exclude, of what may not be read though it lies in a root.
	Exclude []string `yaml:"exclude"`
	// Streams are the commands that may be run, by name.
	Streams map[string]Stream `yaml:"streams"`
	// Snapshots are file-system snapshots that may be made while files are read, by name.
	Snapshots map[string]Snapshot `yaml:"snapshots"`
	// RateLimit bounds what is sent, in bytes a second. 0 means no bound.
	RateLimit int64 `yaml:"rate_limit"`
	// Writable are folders that the commands may write in; the agent itself never writes.
	Writable []string `yaml:"writable"`
	// NewPrivileges lets the commands gain rights, as sudo does.
	NewPrivileges bool `yaml:"new_privileges"`

	excludes *filter.List
}

// Stream is a command of a policy, or a database dump of a built-in kind.
type Stream struct {
	Kind     string            `yaml:"kind"`
	Command  []string          `yaml:"command"` // of kind command: the program and its arguments; no shell sees them
	Env      map[string]string `yaml:"env"`
	Settings map[string]string `yaml:"settings"` // of other kinds
}

// Snapshot is a file-system snapshot: how it is made, and removed. No shell sees the commands, and they run with all rights
// of the agent's user. Where it can be read is one of the policy's Roots.
type Snapshot struct {
	Create  []string          `yaml:"create"`
	Remove  []string          `yaml:"remove"`
	Env     map[string]string `yaml:"env"`
	Seconds int               `yaml:"timeout_seconds"` // that each command may take; 0 means 300
}

func (s Snapshot) timeout() time.Duration {
	if s.Seconds == 0 {
		return DefaultSnapshotTimeout
	}
	return time.Duration(s.Seconds) * time.Second
}

func (s Snapshot) check() error {
	if len(s.Create) == 0 || s.Create[0] == "" || len(s.Remove) == 0 || s.Remove[0] == "" {
		return errors.New("it needs a command to create it, and one to remove it")
	}
	if s.Seconds < 0 || s.Seconds > 24*3600 {
		return fmt.Errorf("timeout_seconds %d is not 1 to 86400", s.Seconds)
	}
	return nil
}

// ReadPolicy reads the policy file. It has to belong to root or to the user of this process, and nobody else may be able to
// change it or a folder above it.
func ReadPolicy(name string) (*Policy, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(abs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	defer f.Close()
	if err := trusted(f, abs); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil || len(data) > maxPolicy {
		return nil, fmt.Errorf("%w %s: cannot be read, or is larger than 1 MiB: %w", ErrPolicy, name, err)
	}
	p, err := ParsePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrPolicy, name, err)
	}
	return p, nil
}

// trusted reports by an error if somebody else could have written the file.
func trusted(f *os.File, name string) error {
	info, err := f.Stat()
	for err == nil {
		st, ok := info.Sys().(*syscall.Stat_t)
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		if !ok || (st.Uid != 0 && int(st.Uid) != os.Geteuid()) || (info.Mode().Perm()&0o022 != 0 && !sticky) {
			return fmt.Errorf("%w: %s could be changed by others than its owner and root: it has to belong to root, with mode 0644 and folders of mode 0755", ErrPolicy, name)
		}
		if name == "/" {
			return nil
		}
		name = path.Dir(name)
		info, err = os.Lstat(name)
		if err == nil && info.Mode()&os.ModeSymlink != 0 {
			info, err = os.Stat(name)
		}
	}
	return fmt.Errorf("%w: %w", ErrPolicy, err)
}

// ParsePolicy parses and checks a policy.
func ParsePolicy(data []byte) (*Policy, error) {
	p := &Policy{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(p); err != nil && err != io.EOF {
		return nil, err
	}
	if err := dec.Decode(&yaml.Node{}); err != io.EOF {
		return nil, errors.New("more than one document")
	}
	return p, p.Check()
}

// Check checks a policy and makes it ready for use.
func (p *Policy) Check() error {
	if len(p.Roots)+len(p.Devices)+len(p.Streams) == 0 {
		return errors.New("it allows nothing: name roots, devices or streams")
	}
	for _, list := range []struct {
		what  string
		paths []string
	}{{"root", p.Roots}, {"device", p.Devices}, {"writable folder", p.Writable}} {
		for i, r := range list.paths {
			if !path.IsAbs(r) || path.Clean(r) != r || strings.ContainsRune(r, 0) {
				return fmt.Errorf("%s %q: not an absolute path in its shortest form", list.what, r)
			}
			if slices.Contains(list.paths[:i], r) {
				return fmt.Errorf("%s %q stands twice", list.what, r)
			}
		}
	}
	for name, s := range p.Streams {
		if name == "" || strings.ContainsAny(name, "/\x00\n") || strings.HasPrefix(name, ".") {
			return fmt.Errorf("stream %q: a name without slash and line break, and without a dot at its start, is needed", name)
		}
		if _, err := s.resolve(); err != nil {
			return fmt.Errorf("stream %q: %w", name, err)
		}
	}
	for name, s := range p.Snapshots {
		if _, twice := p.Streams[name]; twice || name == "" || strings.ContainsAny(name, "/\x00\n") {
			return fmt.Errorf("snapshot %q: a name without slash and line break, which no stream has, is needed", name)
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("snapshot %q: %w", name, err)
		}
	}
	var err error
	p.excludes, err = filter.Compile(p.Exclude, filter.Options{})
	return err
}

// resolve returns what a stream runs.
func (s *Stream) resolve() (*dump.Command, error) {
	if s.Kind == "" || s.Kind == dump.KindCommand {
		if len(s.Command) == 0 || s.Command[0] == "" || len(s.Settings) > 0 {
			return nil, errors.New("kind command needs a command, and no settings")
		}
		return &dump.Command{Args: s.Command, Env: s.Env}, nil
	}
	if len(s.Command) > 0 {
		return nil, fmt.Errorf("kind %s runs its own command", s.Kind)
	}
	c, err := dump.Resolve(s.Kind, s.Settings)
	if err != nil {
		return nil, err
	}
	for k, v := range s.Env {
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env[k] = v
	}
	return c, nil
}

// allows reports whether a root that a server asks for lies in one of the policy's.
func allows(roots []string, asked string) bool {
	if !path.IsAbs(asked) || path.Clean(asked) != asked {
		return false
	}
	return slices.ContainsFunc(roots, func(r string) bool {
		return r == "/" || asked == r || strings.HasPrefix(asked, r+"/")
	})
}
