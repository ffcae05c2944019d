package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
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

// Limits of a policy: hello names what it allows.
const (
	maxPolicy = 1 << 20 // bytes of the file
	maxPaths  = 4 << 10
	maxNamed  = 1 << 10
	maxName   = 4 << 10 // bytes of a path or a name
)

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
	// RateLimit bounds what is sent, in bytes a second, at least 64 KiB. 0 means no bound.
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
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	// What leads to the file, and to the links on the way, is checked before the file is opened: from then on only who
	// is trusted can put another one there.
	for _, path := range []string{abs, real} {
		if err := trusted(path, name); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(real)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%w %s: larger than 1 MiB", ErrPolicy, name)
	}
	p, err := ParsePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrPolicy, name, err)
	}
	return p, nil
}

// trusted returns an error if somebody else could have written the file at path, or could put another one in its place.
func trusted(path, name string) error {
	for ; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPolicy, err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		isLink := info.Mode()&os.ModeSymlink != 0 // its own mode says nothing
		if !ok || (st.Uid != 0 && int(st.Uid) != os.Geteuid()) || (info.Mode().Perm()&0o022 != 0 && !sticky && !isLink) {
			return fmt.Errorf("%w %s: %s could be changed by others than root: it has to belong to root, a file with mode 0644, a folder with mode 0755", ErrPolicy, name, path)
		}
		if path == "/" {
			return nil
		}
	}
}

// ParsePolicy parses and checks a policy. Errors name the line.
func ParsePolicy(data []byte) (*Policy, error) {
	p := &Policy{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(p); err != nil && err != io.EOF {
		return nil, explain(err)
	}
	if err := dec.Decode(&yaml.Node{}); err != io.EOF {
		return nil, errors.New("more than one document")
	}
	err := p.Check()
	var at *entryError
	if errors.As(err, &at) {
		if line := at.line(data); line > 0 {
			err = fmt.Errorf("line %d: %w", line, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// explain words what the decoder says as other errors are worded.
func explain(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return errors.New(strings.ReplaceAll(strings.Join(te.Errors, "; "), " in type agent.", " in "))
}

// entryError is what is wrong with an entry of a policy.
type entryError struct {
	list, entry string // the field of the policy, and the item or key in it; an empty entry is the whole
	err         error
}

func (e *entryError) Error() string {
	if e.entry == "" {
		return fmt.Sprintf("%s: %v", e.list, e.err)
	}
	return fmt.Sprintf("%s: %q: %v", e.list, e.entry, e.err)
}

func (e *entryError) Unwrap() error { return e.err }

// line returns the line of the entry in the policy's text, 0 if it is not there. Of an item that stands twice it is the last.
func (e *entryError) line(data []byte) (line int) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return 0
	}
	for fields := doc.Content[0].Content; len(fields) >= 2; fields = fields[2:] {
		if fields[0].Value != e.list {
			continue
		}
		line = fields[0].Line
		for _, item := range fields[1].Content {
			if e.entry != "" && item.Value == e.entry {
				line = item.Line
			}
		}
	}
	return line
}

// Check checks a policy and makes it ready for use.
func (p *Policy) Check() error {
	if len(p.Roots)+len(p.Devices)+len(p.Streams) == 0 {
		return errors.New("it allows nothing: name roots, devices or streams")
	}
	for _, list := range []struct {
		field string
		paths []string
	}{{"roots", p.Roots}, {"devices", p.Devices}, {"writable", p.Writable}} {
		for i, r := range list.paths {
			if !path.IsAbs(r) || path.Clean(r) != r || strings.ContainsRune(r, 0) || len(r) > maxName {
				return &entryError{list.field, r, errors.New("not an absolute path in its shortest form")}
			}
			if slices.Contains(list.paths[:i], r) {
				return &entryError{list.field, r, errors.New("stands twice")}
			}
		}
	}
	if p.RateLimit != 0 && p.RateLimit < minRate {
		return &entryError{"rate_limit", "", fmt.Errorf("%d is below %d bytes a second", p.RateLimit, minRate)}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Streams)) {
		s := p.Streams[name]
		if name == "" || strings.ContainsAny(name, "/\x00\n") || strings.HasPrefix(name, ".") || len(name) > maxName {
			return &entryError{"streams", name, errors.New("a name without slash and line break, and without a dot at its start, is needed")}
		}
		if _, err := s.resolve(); err != nil {
			return &entryError{"streams", name, err}
		}
	}
	if len(p.Roots) > maxPaths || len(p.Devices) > maxPaths || len(p.Streams) > maxNamed {
		return fmt.Errorf("more than %d roots or devices, or %d streams", maxPaths, maxNamed)
	}
	for _, pattern := range p.Exclude {
		if _, err := filter.Compile([]string{pattern}, filter.Options{}); err != nil {
			return &entryError{"exclude", pattern, err}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Snapshots)) {
		s := p.Snapshots[name]
		if _, twice := p.Streams[name]; twice || name == "" || strings.ContainsAny(name, "/\x00\n") {
			return &entryError{"snapshots", name, errors.New("a name without slash and line break, which no stream has, is needed")}
		}
		if err := s.check(); err != nil {
			return &entryError{"snapshots", name, err}
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
