package enrol

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// PolicyStream is a stream that a policy allows. One without a kind stands in the policy as a comment, for a person to
// complete: what a source runs is not for the server to say.
type PolicyStream struct {
	Name     string
	Kind     string            // postgresql, mysql, mariadb or sqlite
	Settings map[string]string // of the kind
}

// ParseStream parses NAME, or NAME=KIND, or NAME=KIND:KEY=VALUE,KEY=VALUE. The error wraps ErrPlan.
func ParseStream(s string) (PolicyStream, error) {
	name, rest, found := strings.Cut(s, "=")
	p := PolicyStream{Name: name}
	if name == "" || strings.ContainsAny(name, "/\x00\n") {
		return p, fmt.Errorf("%w: stream %q: want NAME or NAME=KIND:KEY=VALUE,…", ErrPlan, s)
	}
	if !found {
		return p, nil
	}
	kind, settings, _ := strings.Cut(rest, ":")
	p.Kind, p.Settings = kind, map[string]string{}
	for pair := range strings.SplitSeq(settings, ",") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return p, fmt.Errorf("%w: stream %q: setting %q: want KEY=VALUE", ErrPlan, s, pair)
		}
		p.Settings[key] = value
	}
	return p, nil
}

// PolicyText returns a policy that allows what a source of the configuration asks for.
func PolicyText(roots, devices []string, streams []PolicyStream) (string, error) {
	type stream struct {
		Kind     string            `yaml:"kind"`
		Settings map[string]string `yaml:"settings,omitempty"`
	}
	policy := struct {
		Roots   []string          `yaml:"roots,omitempty"`
		Devices []string          `yaml:"devices,omitempty"`
		Streams map[string]stream `yaml:"streams,omitempty"`
	}{roots, devices, map[string]stream{}}
	open := ""
	for _, s := range streams {
		if s.Kind == "" {
			open += fmt.Sprintf("#  %q: {kind: postgresql, settings: {database: NAME, as: postgres}}\n", s.Name)
			continue
		}
		policy.Streams[s.Name] = stream{s.Kind, s.Settings}
	}
	text, err := yaml.Marshal(policy)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if open != "" {
		open = "# To be completed, below streams:\n" + open
	}
	return "# What a backup server may read and run on this machine. It belongs to root; see: snap agent --help\n" + string(text) + open, nil
}
