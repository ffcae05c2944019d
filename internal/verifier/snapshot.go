package verifier

import (
	"encoding/base64"
	"encoding/json"
	"sort"
	"strings"
	"time"
	"unicode/utf8"
)

// snapshot is what the verifier needs of a snapshot record, section 9.
type snapshot struct {
	id         string
	time       time.Time
	source     string
	sourceName string
	sequence   uint64
	tags       []string
	root       chunkID
}

// parseSnapshot parses the body of a snapshot record.
func parseSnapshot(id string, body []byte) (*snapshot, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := o.version(); err != nil {
		return nil, err
	}
	s := &snapshot{id: id}
	root, err := o.hexBytes("root", 16)
	if err != nil {
		return nil, err
	}
	if s.root = chunkID(root); s.root == (chunkID{}) {
		return nil, damaged("snapshot without a tree")
	}
	source, err := o.hexBytes("source", 16)
	if err != nil {
		return nil, err
	}
	s.source = string(source)
	if s.time, err = o.time("time"); err != nil {
		return nil, err
	}
	if s.sequence, err = need[uint64](o, "sequence"); err != nil {
		return nil, err
	}
	if s.sourceName, err = byteString(o["source_name"]); err != nil {
		return nil, err
	}
	if s.tags, err = may[[]string](o, "tags"); err != nil {
		return nil, err
	}
	return s, checkNames(o)
}

// checkNames refuses what is no name of a file where one stands.
func checkNames(o object) error {
	var names []string
	for _, member := range []string{"previous", "parent", "original"} {
		if _, ok := o[member]; !ok {
			continue
		}
		name, err := need[string](o, member)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	for _, member := range []string{"index", "prune"} {
		list, err := may[[]string](o, member)
		if err != nil {
			return err
		}
		names = append(names, list...)
	}
	for _, name := range names {
		if _, ok := parseHex(name, 32); !ok {
			return damaged("%.80q in the place of a name", name)
		}
	}
	return nil
}

// byteString decodes a byte string in JSON: text, or {"b64":"…"}.
func byteString(raw json.RawMessage) (string, error) {
	var text string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	o, err := parseObject(raw)
	if err != nil {
		return "", err
	}
	text, err = need[string](o, "b64")
	if err != nil {
		return "", err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || utf8.Valid(b) {
		return "", damaged("base64 of a byte string: %.80q, %v", text, err)
	}
	return string(b), nil
}

// label is a label on a snapshot.
type label struct {
	id, snapshot string
	counter      uint64
	tags         []string
	pin          bool
	note         string
}

func parseLabel(id string, body []byte) (*label, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := o.version(); err != nil {
		return nil, err
	}
	l := &label{id: id}
	if _, err := o.hexBytes("snapshot", 32); err != nil {
		return nil, err
	}
	if l.snapshot, err = need[string](o, "snapshot"); err != nil {
		return nil, err
	}
	if l.counter, err = need[uint64](o, "counter"); err != nil {
		return nil, err
	}
	if _, isNull := o["tags"]; isNull && string(o["tags"]) != "null" {
		if l.tags, err = need[[]string](o, "tags"); err != nil {
			return nil, err
		}
	}
	if l.pin, err = may[bool](o, "pin"); err != nil {
		return nil, err
	}
	l.note, err = may[string](o, "note")
	return l, err
}

// applyLabels gives each snapshot the tags of the label that holds.
func applyLabels(snapshots []*snapshot, labels []*label) {
	sort.Slice(labels, func(i, k int) bool {
		if labels[i].counter != labels[k].counter {
			return labels[i].counter < labels[k].counter
		}
		return labels[i].id < labels[k].id
	})
	for _, l := range labels { // the last one holds
		for _, s := range snapshots {
			if s.id == l.snapshot {
				s.tags = l.tags
			}
		}
	}
}

// parsePrune returns the packs that the body of a prune record condemns, section 11.
func parsePrune(body []byte) ([]string, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := o.version(); err != nil {
		return nil, err
	}
	condemned, err := may[[]string](o, "condemned")
	for _, name := range condemned {
		if _, ok := parseHex(name, 32); !ok {
			return nil, damaged("condemned pack %.80q", name)
		}
	}
	return condemned, err
}
