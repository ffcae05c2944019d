package filter

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLine bounds a line of a pattern file.
const maxLine = 1 << 20

// Read reads patterns from a file of lines. Space around a line is cut off; empty
// lines and those that begin with # are comments. $NAME and ${NAME} are
// replaced by lookup(NAME), and $$ by a dollar; a nil lookup takes the environment.
func Read(r io.Reader, lookup func(name string) string) ([]string, error) {
	if lookup == nil {
		lookup = os.Getenv
	}
	expand := func(name string) string {
		if name == "$" {
			return "$"
		}
		return lookup(name)
	}
	var patterns []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for first := true; lines.Scan(); first = false {
		line := lines.Text()
		if first {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line = os.Expand(line, expand); line != "" {
			patterns = append(patterns, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("patterns: %w", err)
	}
	return patterns, nil
}
