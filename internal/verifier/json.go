package verifier

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"
	"unicode/utf8"
)

// object is a JSON object: its members as they stand, by name.
type object map[string]json.RawMessage

// parseObject parses one JSON object in UTF-8 in which no member stands twice.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, damaged("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, damaged("no JSON object")
	}
	o := object{}
	for d.More() {
		var value json.RawMessage
		name, err := d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, damaged("JSON: %v", err)
		}
		if _, twice := o[name.(string)]; twice { // only a string can be a name
			return nil, damaged("JSON member %.40q stands twice", name)
		}
		o[name.(string)] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, damaged("JSON object is not closed")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, damaged("bytes behind the JSON object")
	}
	return o, nil
}

// need reads a member that must be there and not null.
func need[T any](o object, name string) (v T, err error) {
	raw, ok := o[name]
	if !ok || string(raw) == "null" || json.Unmarshal(raw, &v) != nil {
		return v, damaged("JSON member %q is missing or of the wrong type", name)
	}
	return v, nil
}

// may reads a member that may be missing.
func may[T any](o object, name string) (v T, err error) {
	if _, ok := o[name]; !ok {
		return v, nil
	}
	return need[T](o, name)
}

// version checks the member of that name.
func (o object) version() error {
	v, err := need[int64](o, "version")
	switch {
	case err != nil:
		return err
	case v < 1:
		return damaged("version %d", v)
	case v > 1:
		return newer("version %d", v)
	}
	return nil
}

// hexBytes reads a member of exactly n bytes as lower-case hex.
func (o object) hexBytes(name string, n int) ([]byte, error) {
	s, err := need[string](o, name)
	if err != nil {
		return nil, err
	}
	b, ok := parseHex(s, n)
	if !ok {
		return nil, damaged("JSON member %q: want %d hex digits", name, 2*n)
	}
	return b, nil
}

func parseHex(s string, n int) ([]byte, bool) {
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) == n && hex.EncodeToString(b) == s
}

func (o object) time(name string) (time.Time, error) {
	s, err := need[string](o, name)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, damaged("JSON member %q: %v", name, err)
	}
	return t, nil
}
