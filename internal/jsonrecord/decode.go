package jsonrecord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Errors of this package.
var (
	// ErrCorrupt says that bytes are no object that the format allows.
	ErrCorrupt = errors.New("corrupt JSON object")
	// ErrNewer says that an object is of a later version.
	ErrNewer = errors.New("JSON object of a newer version")
)

// Decode parses the object body into the struct that v points to. Its version has to be 1 to known; nothing else is said of a
// later one. The members named by required have to be there and not null. Members that v does not have are ignored. The
// error is ErrCorrupt or ErrNewer.
func Decode(body []byte, v any, known int, required ...string) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: not valid UTF-8", ErrCorrupt)
	}
	if !json.Valid(body) {
		return fmt.Errorf("%w: %v", ErrCorrupt, json.Unmarshal(body, v))
	}
	object, err := members(body)
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(string(object["version"]), 10, 64)
	if err != nil || version == 0 {
		return fmt.Errorf("%w: version %.20q", ErrCorrupt, object["version"])
	}
	if version > uint64(known) {
		return fmt.Errorf("%w: version %d", ErrNewer, version)
	}
	for _, name := range required {
		if raw := object[name]; raw == nil || string(raw) == "null" {
			return fmt.Errorf("%w: no member %q", ErrCorrupt, name)
		}
	}
	if err := exact(object, reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

// exact refuses names that are those of fields but for case: encoding/json takes them for the fields.
func exact(object map[string]json.RawMessage, of reflect.Type) error {
	var fields []string
	for i := range of.NumField() {
		if name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); name != "" {
			fields = append(fields, name)
		}
	}
	for name := range object {
		if slices.Contains(fields, name) {
			continue
		}
		if slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, name) }) {
			return fmt.Errorf("%w: member %.40q", ErrCorrupt, name)
		}
	}
	return nil
}

// members returns the members of an object by name. body is valid JSON.
func members(body []byte) (map[string]json.RawMessage, error) {
	s := scanner{body, 0}
	if s.space(); s.at() != '{' {
		return nil, fmt.Errorf("%w: no object", ErrCorrupt)
	}
	all := make(map[string]json.RawMessage)
	for s.i++; ; s.i++ {
		if s.space(); s.at() == '}' {
			return all, nil
		}
		var name string
		if err := json.Unmarshal(s.value(), &name); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("%w: member %.40q stands twice", ErrCorrupt, name)
		}
		s.space()
		s.i++ // the colon
		s.space()
		all[name] = s.value()
		if s.space(); s.at() == '}' {
			return all, nil
		}
	}
}

// scanner goes through valid JSON.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) at() byte { return s.b[s.i] }

func (s *scanner) space() {
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n", s.b[s.i]) >= 0 {
		s.i++
	}
}

// value passes over a value and returns it.
func (s *scanner) value() []byte {
	start, depth := s.i, 0
	for {
		switch s.at() {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			depth--
			s.i++
		case ',', ':', ' ', '\t', '\r', '\n':
			s.i++
		default: // a number or a word
			n := bytes.IndexAny(s.b[s.i:], ",:]} \t\r\n")
			s.i += n
		}
		if depth == 0 {
			return s.b[start:s.i]
		}
	}
}

// text passes over a string.
func (s *scanner) text() {
	for s.i++; s.at() != '"'; s.i++ {
		if s.at() == '\\' {
			s.i++
		}
	}
	s.i++
}
