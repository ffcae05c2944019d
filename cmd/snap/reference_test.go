package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/config"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/cli.md and docs/config.md")

// manuals are the files of docs that are made.
var manuals = map[string]func() string{
	"../../docs/cli.md":    func() string { return reference(commandLine()) },
	"../../docs/config.md": config.Reference,
}

func commandLine() *cobra.Command {
	a := &app{system: system{getenv: func(string) string { return "" }}}
	return a.root()
}

func TestReferenceIsUpToDate(t *testing.T) {
	for name, made := range manuals {
		want := made()
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is out of date: run make docs", name)
		}
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if c.HasParent() && c.Runnable() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example of itself", c.CommandPath())
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", c.CommandPath(), c.Short)
		}
	}
	visit(commandLine())
}

// TestEveryCommandHasAScript keeps the scripts whole: a command that none of them runs is not tested
// as users use it.
func TestEveryCommandHasAScript(t *testing.T) {
	var all strings.Builder
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if c.HasParent() && c.Runnable() && !strings.Contains(all.String(), c.CommandPath()) {
			t.Errorf("no script runs %s", c.CommandPath())
		}
	}
	visit(commandLine())
}

// TestEveryMessageTypeIsInTheHelp looks for them in the source: as what MessageType is set to, or as the first field of a literal.
func TestEveryMessageTypeIsInTheHelp(t *testing.T) {
	told := map[string]bool{}
	for _, m := range messageTypes {
		for name := range strings.SplitSeq(m.name, ", ") {
			told[name] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`(?:MessageType: *|StructType = *|"message_type": *|Line\([a-zA-Z]+\{|\}\{)"([a-z_]+)"`)
	found := map[string]bool{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range set.FindAllSubmatch(data, -1) {
			if found[string(m[1])] = true; !told[string(m[1])] {
				t.Errorf("%s prints message_type %s, which the help does not know", f, m[1])
			}
		}
	}
	for name := range told {
		if !found[name] {
			t.Errorf("the help knows message_type %s, which nothing prints", name)
		}
	}
}

func TestExitCodesAreDistinct(t *testing.T) {
	seen := map[int]bool{}
	for _, c := range exitCodes {
		if seen[c.code] {
			t.Errorf("exit code %d has two meanings", c.code)
		}
		seen[c.code] = true
	}
	for _, r := range rules {
		if !seen[r.code] {
			t.Errorf("exit code %d is in no table", r.code)
		}
	}
}
