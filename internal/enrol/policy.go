package enrol

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// PolicyText returns a policy that allows what a source of the configuration asks for. streams are those whose commands
// have to be filled in by a person: a server does not say what a source runs.
func PolicyText(roots, devices, streams []string) (string, error) {
	var b strings.Builder
	b.WriteString("# What a backup server may read and run on this machine. It belongs to root; see: snap agent --help\n")
	for _, list := range []struct {
		name  string
		items []string
	}{{"roots", roots}, {"devices", devices}} {
		if len(list.items) == 0 {
			continue
		}
		text, err := yaml.Marshal(map[string][]string{list.name: list.items})
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrPlan, err)
		}
		b.Write(text)
	}
	if len(streams) > 0 {
		b.WriteString("# streams:\n")
		for _, name := range streams {
			fmt.Fprintf(&b, "#   %q: {kind: postgresql, settings: {database: NAME, as: postgres}}\n", name)
		}
	}
	return b.String(), nil
}
