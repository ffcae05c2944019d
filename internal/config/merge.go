package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// loader puts a configuration together and remembers what stands where.
type loader struct {
	whole    *Config
	sources  map[string]place
	general  map[string]place // the other fields of the top level
	defaults place
}

// place is a part of a file.
type place struct {
	file string
	line int        // of its key
	node *yaml.Node // of its value; nil is nowhere
}

func newLoader() *loader {
	return &loader{whole: &Config{Sources: map[string]Source{}}, sources: map[string]place{}, general: map[string]place{}}
}

// add takes over what another file says.
func (l *loader) add(file string, data []byte) error {
	part, err := parse(data)
	if err != nil {
		return err
	}
	var top yaml.Node
	if err := yaml.Unmarshal(data, &top); err != nil {
		return explain(err)
	}
	c := l.whole
	for key, at := range children(&top, file) {
		if key == "sources" {
			continue
		}
		if before, twice := l.general[key]; twice {
			return fmt.Errorf("line %d: %s stands in %s already", at.line, key, before.file)
		}
		l.general[key] = at
	}
	if part.Repository != (Repository{}) {
		c.Repository = part.Repository
	}
	if part.Parallel != 0 {
		c.Parallel = part.Parallel
	}
	if !reflect.ValueOf(part.Defaults).IsZero() {
		c.Defaults, l.defaults = part.Defaults, l.general["defaults"]
	}
	places := children(child(&top, "sources", file).node, file)
	for _, name := range slices.Sorted(maps.Keys(part.Sources)) {
		if before, twice := l.sources[name]; twice {
			return fmt.Errorf("line %d: source %q stands in %s already", places[name].line, name, before.file)
		}
		c.Sources[name], l.sources[name] = part.Sources[name], places[name]
	}
	return nil
}

// complete fills sources with the defaults and checks them. It returns in which file an error is.
func (l *loader) complete() (file string, err error) {
	c := l.whole
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.Parallel < 1 || c.Parallel > 256 {
		at := l.general["parallel"]
		return at.file, fmt.Errorf("line %d: parallel: %d is not 1 to 256", at.line, c.Parallel)
	}
	if c.Defaults.Address != "" {
		at := l.defaults
		return at.file, fmt.Errorf("line %d: defaults: an address is no default", locate(at, "address").line)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		fill(reflect.ValueOf(&s).Elem(), reflect.ValueOf(c.Defaults))
		fill(reflect.ValueOf(&s).Elem(), reflect.ValueOf(builtIn()))
		if err := s.check(name); err != nil {
			at := l.find(name, err)
			return at.file, fmt.Errorf("line %d: source %q: %w", at.line, name, err)
		}
		c.Sources[name] = s
	}
	return "", nil
}

// find returns where the field of an error stands: in the source, or in the defaults.
func (l *loader) find(name string, err error) place {
	source := l.sources[name]
	var at *fieldError
	if !errors.As(err, &at) {
		return source
	}
	if p := locate(source, at.path...); p.node != nil {
		return p
	}
	if p := locate(l.defaults, at.path...); p.node != nil {
		return p
	}
	return source
}

// fieldError is an error of one field.
type fieldError struct {
	path []string // names, and numbers in lists
	err  error
}

func (e *fieldError) Error() string { return e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// at says where an error belongs.
func at(err error, path ...string) error {
	if err == nil {
		return nil
	}
	return &fieldError{path, err}
}

// locate follows a path in a part of a file. It leads nowhere if there is no such field.
func locate(p place, path ...string) place {
	for _, name := range path {
		p = child(p.node, name, p.file)
	}
	return p
}

func child(n *yaml.Node, name, file string) place { return children(n, file)[name] }

// children returns the parts of a mapping by name, of a list by number.
func children(n *yaml.Node, file string) map[string]place {
	all := map[string]place{}
	for n != nil && (n.Kind == yaml.DocumentNode || n.Kind == yaml.AliasNode) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		} else if len(n.Content) > 0 {
			n = n.Content[0]
		} else {
			return all
		}
	}
	switch {
	case n == nil:
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			all[n.Content[i].Value] = place{file, n.Content[i].Line, n.Content[i+1]}
		}
	case n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			all[strconv.Itoa(i)] = place{file, item.Line, item}
		}
	}
	return all
}

// fill gives fields that are not set their default; structs field by field. Lists are taken as they are: an empty one
// is set.
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
