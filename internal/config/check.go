package config

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/snapkeep/snap/internal/filter"
)

// check checks a source that is filled with the defaults.
func (s *Source) check(name string) error {
	if err := plain("name", name); err != nil {
		return err
	}
	for _, check := range []func() error{s.checkTransport, s.checkWhat, s.checkTexts, s.checkStreams, s.checkPatterns, s.checkNumbers} {
		if err := check(); err != nil {
			return err
		}
	}
	return at(choice("compress", s.Compress, "auto", "on", "off"), "compress")
}

func (s *Source) checkTransport() error {
	switch s.Transport {
	case TransportAgent, TransportSFTP:
		if s.Address == "" {
			return errors.New("address is missing: [user@]host[:port]")
		}
	case TransportLocal:
		if s.Address != "" {
			return at(errors.New("transport local has no address"), "address")
		}
	default:
		return at(choice("transport", s.Transport, TransportAgent, TransportSFTP, TransportLocal), "transport")
	}
	return nil
}

func (s *Source) checkWhat() error {
	if len(s.Paths)+len(s.Devices)+len(s.Streams) == 0 {
		return errors.New("there is nothing to pull: name paths, devices or streams")
	}
	if len(s.Devices) > 0 && s.Transport == TransportSFTP {
		return at(errors.New("devices need the agent: SFTP does not tell how large they are"), "devices")
	}
	seen := map[string]bool{}
	for _, list := range []struct {
		field string
		paths []string
	}{{"paths", s.Paths}, {"devices", s.Devices}} {
		for i, p := range list.paths {
			where := []string{list.field, strconv.Itoa(i)}
			if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsFunc(p, unicode.IsControl) {
				return at(fmt.Errorf("path %q: it has to be absolute, in its shortest form, without control characters", p), where...)
			}
			if seen[p] {
				return at(fmt.Errorf("path %q stands twice", p), where...)
			}
			seen[p] = true
		}
	}
	for i, p := range s.Guards.Canaries {
		if !path.IsAbs(p) || path.Clean(p) != p {
			return at(fmt.Errorf("canary %q: it has to be absolute, in its shortest form", p), "guards", "canaries", strconv.Itoa(i))
		}
	}
	return nil
}

// checkTexts checks what becomes an argument of another program, or of the snapshot.
func (s *Source) checkTexts() error {
	for _, field := range []struct {
		value string
		path  []string
	}{{s.Address, []string{"address"}}, {s.Host, []string{"host"}}, {s.SSH.Identity, []string{"ssh", "identity"}}, {s.SSH.KnownHosts, []string{"ssh", "known_hosts"}},
		{s.SSH.Agent, []string{"ssh", "agent_command"}}, {s.SSH.SFTP, []string{"ssh", "sftp_command"}}, {s.SSH.Command, []string{"ssh", "command"}}} {
		if strings.HasPrefix(field.value, "-") || strings.ContainsFunc(field.value, unicode.IsControl) {
			return at(fmt.Errorf("%s %q: it may not begin with - or hold control characters", strings.Join(field.path, " "), field.value), field.path...)
		}
	}
	for i, t := range s.Tags {
		if t == "" || strings.ContainsFunc(t, unicode.IsControl) {
			return at(fmt.Errorf("tag %q: it may not be empty or hold control characters", t), "tags", strconv.Itoa(i))
		}
	}
	return nil
}

func (s *Source) checkStreams() error {
	seen := map[string]bool{}
	for i, st := range s.Streams {
		where := []string{"streams", strconv.Itoa(i)}
		if err := plain("stream", st.Name); err != nil {
			return at(err, where...)
		}
		if seen[st.Name] {
			return at(fmt.Errorf("stream %q stands twice", st.Name), where...)
		}
		seen[st.Name] = true
		if slices.ContainsFunc(slices.Concat(s.Paths, s.Devices), func(p string) bool { return p == "/"+st.Name || strings.HasPrefix(p, "/"+st.Name+"/") }) {
			return at(fmt.Errorf("stream %q: it lies at the top of the snapshot, where /%s lies already", st.Name, st.Name), where...)
		}
		if err := choice("stream "+strconv.Quote(st.Name)+": kind", st.Kind, "", "postgresql", "mysql", "mariadb", "sqlite", "command"); err != nil {
			return at(err, where...)
		}
	}
	for i, name := range s.Snapshots {
		if err := plain("snapshot", name); err != nil {
			return at(err, "snapshots", strconv.Itoa(i))
		}
		if seen[name] {
			return at(fmt.Errorf("snapshot %q stands twice, or is a stream", name), "snapshots", strconv.Itoa(i))
		}
		seen[name] = true
	}
	if len(s.Streams) > 0 && s.Transport != TransportAgent {
		return at(errors.New("streams need the agent"), "streams")
	}
	if len(s.Snapshots) > 0 && s.Transport != TransportAgent {
		return at(errors.New("snapshots need the agent"), "snapshots")
	}
	return nil
}

func (s *Source) checkPatterns() error {
	for _, list := range []struct {
		field    string
		patterns []string
		fold     bool
	}{{"exclude", s.Exclude, false}, {"iexclude", s.IExclude, true}} {
		for i, p := range list.patterns {
			if _, err := filter.Compile([]string{p}, filter.Options{}); err != nil {
				return at(err, list.field, strconv.Itoa(i))
			}
		}
		all, err := filter.Compile(list.patterns, filter.Options{FoldCase: list.fold})
		if err != nil {
			return at(err, list.field)
		}
		for i, p := range s.Paths {
			if matched, _ := all.MatchPath(p); matched {
				return at(fmt.Errorf("path %q: %s leaves it out, so that nothing of it would be saved: take it out of paths, or add %q to %s", p, list.field, "!"+p, list.field), "paths", strconv.Itoa(i))
			}
		}
	}
	for i, name := range s.ExcludeIfPresent {
		if file, _, _ := strings.Cut(name, ":"); file == "" || strings.Contains(file, "/") {
			return at(fmt.Errorf("exclude_if_present %q: it has to be the name of a file", name), "exclude_if_present", strconv.Itoa(i))
		}
	}
	return nil
}

func (s *Source) checkNumbers() error {
	if s.Limits.Entries < 0 {
		return at(fmt.Errorf("entries: %d is below zero", s.Limits.Entries), "limits", "entries")
	}
	if s.Keep == nil {
		return nil
	}
	v, some := reflect.ValueOf(*s.Keep), false
	for i := range v.NumField() {
		if v.Field(i).Int() < 0 {
			return at(fmt.Errorf("keep: %d is below zero", v.Field(i).Int()), "keep", v.Type().Field(i).Tag.Get("yaml"))
		}
		some = some || v.Field(i).Int() > 0
	}
	if !some {
		return at(errors.New("keep: it keeps nothing; leave it out to keep all"), "keep")
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
