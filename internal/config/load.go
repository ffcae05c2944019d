package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// ErrInvalid says that a configuration cannot be used.
var ErrInvalid = errors.New("configuration")

const maxFile = 4 << 20 // bytes of a file

// Load reads the file name, or all *.yaml files of the folder name, checks what it says, and fills each source with the
// defaults. The error wraps ErrInvalid, or is that of reading.
func Load(name string) (*Config, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	files := []string{name}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(name, "*.yaml")); err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%w: no *.yaml file in %s: %w", ErrInvalid, name, fs.ErrNotExist)
		}
	}
	whole := &Config{Sources: map[string]Source{}}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
		f.Close()
		if err != nil {
			return nil, err
		}
		if len(data) > maxFile {
			return nil, fmt.Errorf("%w %s: larger than 4 MiB", ErrInvalid, file)
		}
		part, err := parse(data)
		if err == nil {
			err = whole.add(part)
		}
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrInvalid, file, err)
		}
	}
	if err := whole.complete(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrInvalid, name, err)
	}
	return whole, nil
}

// Parse parses, checks and completes one file.
func Parse(data []byte) (*Config, error) {
	c, err := parse(data)
	if err == nil {
		err = c.complete()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, nil
}

func parse(data []byte) (*Config, error) {
	c := &Config{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && err != io.EOF {
		return nil, explain(err)
	}
	if err := dec.Decode(&yaml.Node{}); err != io.EOF {
		return nil, errors.New("more than one document in a file")
	}
	return c, nil
}

// unknown is what the decoder says of a field that is not there.
var unknown = regexp.MustCompile(`field (.+) not found in type config\.(\w+)`)

// explain rewrites errors of the decoder for people.
func explain(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var lines []string
	for _, e := range te.Errors {
		lines = append(lines, unknown.ReplaceAllStringFunc(e, func(s string) string {
			m := unknown.FindStringSubmatch(s)
			return suggest(m[1], m[2])
		}))
	}
	return errors.New(strings.Join(lines, "; "))
}

// suggest says that a type has no field of the name, and which one may be meant.
func suggest(name, typeName string) string {
	all := fieldsOf(typeName)
	best, distance := "", len(name)/2+1
	for _, f := range all {
		if d := editDistance(name, f); d < distance {
			best, distance = f, d
		}
	}
	if best != "" {
		return fmt.Sprintf("there is no %q here; did you mean %q?", name, best)
	}
	return fmt.Sprintf("there is no %q here; there are %s", name, strings.Join(all, ", "))
}

var types = []any{Config{}, Repository{}, Source{}, SSH{}, Stream{}, Keep{}, Limits{}, Guards{}, Hooks{}}

func fieldsOf(typeName string) (names []string) {
	for _, t := range types {
		if rt := reflect.TypeOf(t); rt.Name() == typeName {
			for i := range rt.NumField() {
				names = append(names, rt.Field(i).Tag.Get("yaml"))
			}
		}
	}
	return names
}

// editDistance is the number of letters to insert, remove or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for k := range len(b) {
			cost := last
			if a[i] != b[k] {
				cost++
			}
			last = row[k+1]
			row[k+1] = min(cost, row[k]+1, last+1)
		}
	}
	return row[len(b)]
}

// add takes over what another file of the folder says.
func (c *Config) add(part *Config) error {
	if part.Repository != (Repository{}) {
		if c.Repository != (Repository{}) {
			return errors.New("repository stands in another file already")
		}
		c.Repository = part.Repository
	}
	if part.Parallel != 0 {
		c.Parallel = part.Parallel
	}
	if !reflect.ValueOf(part.Defaults).IsZero() {
		if !reflect.ValueOf(c.Defaults).IsZero() {
			return errors.New("defaults stand in another file already")
		}
		c.Defaults = part.Defaults
	}
	for name, s := range part.Sources {
		if _, twice := c.Sources[name]; twice {
			return fmt.Errorf("source %q stands in another file already", name)
		}
		c.Sources[name] = s
	}
	return nil
}

// complete fills sources with the defaults and checks them.
func (c *Config) complete() error {
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.Parallel < 1 || c.Parallel > 256 {
		return fmt.Errorf("parallel: %d is not 1 to 256", c.Parallel)
	}
	if c.Defaults.Address != "" {
		return errors.New("defaults: an address is no default")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		fill(reflect.ValueOf(&s).Elem(), reflect.ValueOf(c.Defaults))
		if s.Transport == "" {
			s.Transport = TransportAgent
		}
		if err := s.check(name); err != nil {
			return fmt.Errorf("source %q: %w", name, err)
		}
		c.Sources[name] = s
	}
	return nil
}

// fill gives fields that are zero their default; structs field by field.
func fill(v, defaults reflect.Value) {
	for i := range v.NumField() {
		f, d := v.Field(i), defaults.Field(i)
		switch {
		case f.Kind() == reflect.Struct:
			fill(f, d)
		case f.IsZero():
			f.Set(d)
		}
	}
}

func (s *Source) check(name string) error {
	if err := plain("name", name); err != nil || name == "" {
		return errors.New("the name of a source may not be empty, begin with -, or hold slashes or control characters")
	}
	switch s.Transport {
	case TransportAgent, TransportSFTP:
		if s.Address == "" {
			return errors.New("address is missing: [user@]host[:port]")
		}
	case TransportLocal:
		if s.Address != "" {
			return errors.New("transport local has no address")
		}
	default:
		return fmt.Errorf("transport %q: there are agent, sftp and local", s.Transport)
	}
	if len(s.Paths)+len(s.Devices)+len(s.Streams) == 0 {
		return errors.New("there is nothing to pull: name paths, devices or streams")
	}
	for _, p := range slices.Concat(s.Paths, s.Devices) {
		if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsFunc(p, unicode.IsControl) {
			return fmt.Errorf("path %q: it has to be absolute, in its shortest form, without control characters", p)
		}
	}
	for _, field := range []struct{ what, value string }{{"address", s.Address}, {"host", s.Host}, {"ssh identity", s.SSH.Identity}, {"ssh known_hosts", s.SSH.KnownHosts},
		{"ssh agent_command", s.SSH.Agent}, {"ssh sftp_command", s.SSH.SFTP}} {
		if strings.HasPrefix(field.value, "-") || strings.ContainsFunc(field.value, unicode.IsControl) {
			return fmt.Errorf("%s %q: it may not begin with - or hold control characters", field.what, field.value)
		}
	}
	for _, st := range s.Streams {
		if err := plain("stream", st.Name); err != nil {
			return err
		}
		switch st.Kind {
		case "", "command", "postgresql", "mysql", "mariadb", "sqlite":
		default:
			return fmt.Errorf("stream %q: kind %q: there are postgresql, mysql, mariadb, sqlite and command", st.Name, st.Kind)
		}
	}
	if len(s.Streams) > 0 && s.Transport != TransportAgent {
		return errors.New("streams need the agent")
	}
	if len(s.Devices) > 0 && s.Transport == TransportSFTP {
		return errors.New("devices need the agent: SFTP does not tell how large they are")
	}
	switch s.Compress {
	case "", "auto", "on", "off":
	default:
		return fmt.Errorf("compress %q: there are auto, on and off", s.Compress)
	}
	return nil
}

// plain checks a name that becomes a file name.
func plain(what, name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") || strings.Contains(name, "/") || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%s %q: it may not be empty, begin with - or a dot, or hold slashes or control characters", what, name)
	}
	return nil
}
