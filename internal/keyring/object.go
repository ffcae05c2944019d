package keyring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxFileSize is the largest snap.json, slot and content key, in bytes.
const maxFileSize = 64 << 10

// object is a JSON object read with more care than encoding/json takes: names
// match by case, none stands twice, text is UTF-8, nothing follows. The first error of
// its methods stays in err.
type object struct {
	members map[string]json.RawMessage
	err     error
}

func parseObject(data []byte) (*object, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", len(data), maxFileSize)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	o := &object{members: make(map[string]json.RawMessage)}
	for dec.More() {
		if err := o.member(dec); err != nil {
			return nil, err
		}
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('}') {
		return nil, errors.New("JSON object not closed")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("data behind the JSON object")
	}
	return o, nil
}

func (o *object) member(dec *json.Decoder) error {
	t, err := dec.Token()
	name, ok := t.(string)
	if err != nil || !ok {
		return errors.New("malformed JSON object")
	}
	if _, twice := o.members[name]; twice {
		return fmt.Errorf("member %.40q stands twice", name)
	}
	var value json.RawMessage
	if err := dec.Decode(&value); err != nil {
		return fmt.Errorf("member %.40q: malformed JSON", name)
	}
	o.members[name] = value
	return nil
}

func (o *object) failf(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

func (o *object) has(name string) bool { _, ok := o.members[name]; return ok }

// text returns a string that must be there.
func (o *object) text(name string) (s string) {
	raw := o.members[name]
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		o.failf("member %q: want a string", name)
	}
	return s
}

// texts returns a list of strings that must be there.
func (o *object) texts(name string) (list []string) {
	raw := o.members[name]
	var items []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		o.failf("member %q: want a list of strings", name)
	}
	for _, item := range items {
		sub := object{members: map[string]json.RawMessage{name: item}}
		list = append(list, sub.text(name))
		if sub.err != nil {
			o.failf("%w", sub.err)
		}
	}
	return list
}

// integer returns a number from 0 to 2^31-1 that must be there.
func (o *object) integer(name string) int {
	n, err := strconv.ParseUint(string(o.members[name]), 10, 64)
	if err != nil || n > math.MaxInt32 {
		o.failf("member %q: want a whole number", name)
		return 0
	}
	return int(n)
}

// hex fills dst from its lower-case hex digits.
func (o *object) hex(name string, dst []byte) {
	s := o.text(name)
	if _, err := hex.Decode(dst, []byte(s[:min(len(s), 2*len(dst))])); err != nil || hex.EncodeToString(dst) != s {
		clear(dst)
		o.failf("member %q: want %d hex digits", name, 2*len(dst))
	}
}

// time returns a time by RFC 3339 that must be there.
func (o *object) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339, o.text(name))
	if err != nil {
		o.failf("member %q: want a time by RFC 3339", name)
	}
	return t
}

// object returns the object that must be there.
func (o *object) object(name string) *object {
	sub, err := parseObject(o.members[name])
	if err != nil {
		o.failf("member %q: %w", name, err)
		return &object{}
	}
	return sub
}

// checkVersion refuses all versions but 1: what they mean is not known.
func (o *object) checkVersion(what string) error {
	version := o.integer("version")
	if o.err == nil && version == 0 {
		o.failf("version 0")
	}
	if o.err == nil && version > 1 {
		return fmt.Errorf("%w: %s of version %d", ErrNewer, what, version)
	}
	return o.err
}
