package config

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Salvage returns what can be read of the hooks in a configuration that Load refuses, so that somebody is told: the sources with their hooks, the hooks of
// the defaults, and nothing else. It takes none from a file that is no YAML, or that everybody can write to.
func Salvage(name string) *Config {
	c := &Config{Parallel: DefaultParallel, Sources: map[string]Source{}}
	files, _ := filesOf(name) // those that there are
	for _, file := range files {
		var top yaml.Node
		data, err := read(file)
		if err != nil || yaml.Unmarshal(data, &top) != nil {
			continue
		}
		if at := child(&top, "defaults", file); at.node != nil {
			fill(reflect.ValueOf(&c.Defaults.Hooks).Elem(), reflect.ValueOf(hooksOf(at)))
		}
		for source, at := range children(child(&top, "sources", file).node, file) {
			if _, twice := c.Sources[source]; !twice {
				c.Sources[source] = Source{Hooks: hooksOf(at)}
			}
		}
	}
	for name, s := range c.Sources {
		fill(reflect.ValueOf(&s.Hooks).Elem(), reflect.ValueOf(c.Defaults.Hooks))
		c.Sources[name] = s
	}
	return c
}

// hooksOf returns those hooks of a source, or of the defaults, that can be read.
func hooksOf(source place) Hooks {
	var h Hooks
	fields := children(child(source.node, "hooks", source.file).node, source.file)
	for name, into := range map[string]any{"before": &h.Before, "after_success": &h.AfterSuccess, "after_failure": &h.AfterFailure, "finally": &h.Finally, "timeout": &h.Timeout} {
		if at, ok := fields[name]; ok && at.node.Decode(into) != nil {
			reflect.ValueOf(into).Elem().SetZero() // not a part of it
		}
	}
	return h
}
