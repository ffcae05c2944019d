package retention

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// maxPolicyJSON bounds the text of a policy.
const maxPolicyJSON = 8 << 20

// MarshalJSON writes the rules that are set and always the zone, with the names
// keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly,
// keep_quarterly, keep_yearly, keep_within, keep_within_hourly and so on,
// keep_tags, overlap and zone.
func (p Policy) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	add := func(name string, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		sep := ","
		if b.Len() == 0 {
			sep = "{"
		}
		fmt.Fprintf(&b, "%s%q:%s", sep, name, text)
		return nil
	}
	var err error
	for _, f := range p.fields() {
		if err == nil && f.isSet {
			err = add(f.name, f.value)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), err
}

// field is one name of the JSON form with a pointer to its value.
type field struct {
	name  string
	value any
	isSet bool
}

func (p *Policy) fields() []field {
	var all []field
	for _, f := range p.counts() {
		all = append(all, field{f.name, f.value, *f.value != 0})
	}
	for _, f := range p.spans() {
		all = append(all, field{f.name, f.value, !f.value.IsZero()})
	}
	if p.Zone == "" {
		p.Zone = "UTC"
	}
	return append(all,
		field{"keep_tags", &p.KeepTags, len(p.KeepTags) > 0},
		field{"overlap", &p.Overlap, p.Overlap},
		field{"zone", &p.Zone, true})
}

// UnmarshalJSON reads what MarshalJSON writes, in any order. A name that is
// unknown or given twice is an error (ErrInvalidPolicy), because a rule that is
// passed over in silence removes snapshots. It does not validate.
func (p *Policy) UnmarshalJSON(data []byte) error {
	var out Policy
	fields := out.fields()
	seen := make(map[string]bool)
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("%w: not a JSON object", ErrInvalidPolicy)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%w: %v", ErrInvalidPolicy, err)
		}
		name, _ := token.(string)
		if seen[name] {
			return fmt.Errorf("%w: %.64q is given twice", ErrInvalidPolicy, name)
		}
		seen[name] = true
		if err := decodeField(dec, fields, name); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%w: %v", ErrInvalidPolicy, err)
	}
	*p = out
	return nil
}

func decodeField(dec *json.Decoder, fields []field, name string) error {
	for _, f := range fields {
		if f.name != name {
			continue
		}
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if err == nil && string(raw) == "null" {
			err = fmt.Errorf("null is no value")
		}
		if err == nil {
			err = json.Unmarshal(raw, f.value)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %v", ErrInvalidPolicy, name, err)
		}
		return nil
	}
	return fmt.Errorf("%w: unknown name %.64q", ErrInvalidPolicy, name)
}

// ParsePolicy reads and validates the JSON form of a policy.
func ParsePolicy(data []byte) (Policy, error) {
	if len(data) > maxPolicyJSON {
		return Policy{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalidPolicy, maxPolicyJSON)
	}
	var p Policy
	r := bytes.NewReader(data)
	dec := json.NewDecoder(r)
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return Policy{}, fmt.Errorf("%w: %v", ErrInvalidPolicy, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Policy{}, fmt.Errorf("%w: text after the object", ErrInvalidPolicy)
	}
	if err := p.UnmarshalJSON(raw); err != nil {
		return Policy{}, err
	}
	return p, p.Validate()
}
