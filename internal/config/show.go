package config

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Show returns a configuration as YAML, with the defaults filled in and without what is not set.
func Show(c *Config) (string, error) {
	node, err := shown(c)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(node)
	return string(text), err
}

// Values returns what Show says as a value for JSON.
func Values(c *Config) (values any, err error) {
	node, err := shown(c)
	if err == nil {
		err = node.Decode(&values)
	}
	return values, err
}

func shown(c *Config) (*yaml.Node, error) {
	out := *c
	out.Defaults = Source{}
	return nodeOf(reflect.ValueOf(out))
}

// nodeOf returns a value as YAML, leaving out zero fields.
func nodeOf(v reflect.Value) (*yaml.Node, error) {
	switch x := v.Interface().(type) {
	case Duration:
		return scalar(x.String()), nil
	case Size:
		return scalar(strconv.FormatInt(int64(x), 10)), nil
	case *Percent:
		return scalar(strconv.FormatFloat(math.Round(float64(*x)*1e11)/1e9, 'f', -1, 64) + "%"), nil
	}
	if v.Kind() == reflect.Struct {
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			value, err := nodeOf(v.Field(i))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, scalar(v.Type().Field(i).Tag.Get("yaml")), value)
		}
		return n, nil
	}
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		return nodeOf(v.Elem())
	}
	if v.Kind() == reflect.Map {
		n := &yaml.Node{Kind: yaml.MappingNode}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			value, err := nodeOf(v.MapIndex(k))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, scalar(k.String()), value)
		}
		return n, nil
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct {
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			value, err := nodeOf(v.Index(i))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, value)
		}
		return n, nil
	}
	n := &yaml.Node{}
	err := n.Encode(v.Interface())
	return n, err
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// String returns d as it is written in a configuration.
func (d Duration) String() string {
	rest := time.Duration(d)
	var b strings.Builder
	for _, u := range []struct {
		letter string
		length time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := rest / u.length; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.letter)
			rest -= n * u.length
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// Schema returns a JSON schema of the configuration.
func Schema() (string, error) {
	s := schemaOf(reflect.TypeOf(Config{}))
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "snap.yaml"
	text, err := json.MarshalIndent(s, "", "  ")
	return string(text), err
}

func schemaOf(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[Duration]():
		return map[string]any{"type": "string", "pattern": "^([0-9]+[smhdw])+$"}
	case reflect.TypeFor[Size]():
		return map[string]any{"type": []string{"string", "integer"}}
	case reflect.TypeFor[*Percent]():
		return map[string]any{"type": "string", "pattern": "^[0-9.]+%$"}
	case reflect.TypeFor[Command]():
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "array", "items": map[string]any{"type": "string"}}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		properties := map[string]any{}
		for i := range t.NumField() {
			f := t.Field(i)
			p := schemaOf(f.Type)
			p["description"] = f.Tag.Get("doc")
			if one := f.Tag.Get("enum"); one != "" {
				p["enum"] = strings.Split(one, " ")
			}
			properties[f.Tag.Get("yaml")] = p
		}
		return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	}
	return map[string]any{"type": "string"}
}
