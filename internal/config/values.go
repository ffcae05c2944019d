package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a span of time: a number with s, m, h, d or w, or several of them as 1d12h.
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %q is no time span: write 90s, 15m, 36h, 1d or 2w", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// Or returns d, or otherwise if d is zero.
func (d Duration) Or(otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}

// ParseDuration parses a positive Duration.
func ParseDuration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	total := time.Duration(0)
	if s == "" {
		return 0, strconv.ErrSyntax
	}
	for s != "" {
		i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if i < 1 || units[s[i]] == 0 {
			return 0, strconv.ErrSyntax
		}
		n, err := strconv.ParseInt(s[:i], 10, 32)
		if err != nil {
			return 0, err
		}
		if total += time.Duration(n) * units[s[i]]; total < 0 || time.Duration(n) > (1<<62)/units[s[i]] {
			return 0, strconv.ErrRange
		}
		s = s[i+1:]
	}
	return total, nil
}

// Size is a number of bytes: 500, 20 MB, 3 GiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1}, {"", 1}}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseSize(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %q is no size: write 500, 20 MB or 3 GiB", n.Line, n.Value)
	}
	*s = Size(v)
	return nil
}

// ParseSize parses a Size.
func ParseSize(s string) (int64, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v >= 0 && v*u.bytes <= 1<<62) { // no number is neither
			return 0, strconv.ErrSyntax
		}
		return int64(v * u.bytes), nil
	}
	return 0, strconv.ErrSyntax
}

// Percent is a share from 0 to 1, written as 50%.
type Percent float64

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *Percent) UnmarshalYAML(n *yaml.Node) error {
	number, ok := strings.CutSuffix(n.Value, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v >= 0 && v <= 100) { // no number is neither
		return fmt.Errorf("line %d: %q is no share: write 50%%", n.Line, n.Value)
	}
	*p = Percent(v / 100)
	return nil
}

// Command is a program with its arguments: a list, or one string that is split at blanks. A word in quotes is one.
type Command []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *Command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		words, err := splitWords(n.Value)
		if err != nil || len(words) == 0 {
			return fmt.Errorf("line %d: %q is no command", n.Line, n.Value)
		}
		*c = words
		return nil
	}
	var words []string
	if err := n.Decode(&words); err != nil {
		return err
	}
	if len(words) == 0 || words[0] == "" {
		return fmt.Errorf("line %d: an empty command", n.Line)
	}
	*c = words
	return nil
}

// splitWords splits at blanks, but for what is in quotes.
func splitWords(s string) (words []string, err error) {
	var word strings.Builder
	quote, inside := rune(0), false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inside = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inside {
				words = append(words, word.String())
				word.Reset()
				inside = false
			}
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	if quote != 0 {
		return nil, strconv.ErrSyntax
	}
	if inside {
		words = append(words, word.String())
	}
	return words, nil
}
