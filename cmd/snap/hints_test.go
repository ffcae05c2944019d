package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	// commandWords is a command with what stands behind it up to the end of the phrase.
	commandWords = regexp.MustCompile("(?:^|[^a-zA-Z0-9_./-])snap ([a-z][a-z-]*)([^\n;,|&`\"]*)")
	longFlag     = regexp.MustCompile(`(?:^|[ \[(])(--[a-z][a-z0-9-]*)`)
	inlineCode   = regexp.MustCompile("`(snap [^`]+)`")
)

// commandOf returns the command that words name, and the words behind it; nil if they name none.
func commandOf(root *cobra.Command, first, rest string) (c *cobra.Command, left string) {
	for _, sub := range root.Commands() {
		if sub.Name() != first {
			continue
		}
		word, left, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
		if c, _ := commandOf(sub, strings.TrimRight(word, ".:)"), left); c != nil {
			return c, left
		}
		return sub, rest
	}
	return nil, rest
}

// wrongFlags returns flags in a text that the command in front of them does not have.
func wrongFlags(root *cobra.Command, text string) (wrong []string) {
	for _, m := range commandWords.FindAllStringSubmatch(text, -1) {
		c, rest := commandOf(root, m[1], m[2])
		if c == nil {
			continue
		}
		rest, _, _ = strings.Cut(rest, " -- ") // of another command
		rest, _, _ = strings.Cut(rest, "snap ")
		for _, flag := range longFlag.FindAllStringSubmatch(rest, -1) {
			name := strings.TrimPrefix(flag[1], "--")
			if c.LocalFlags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil && name != "help" {
				wrong = append(wrong, c.CommandPath()+" "+flag[1])
			}
		}
	}
	return wrong
}

// TestCommandsThatAreNamedExist looks at all texts of the program and at the documents: what they tell to type has to be there.
func TestCommandsThatAreNamedExist(t *testing.T) {
	root := commandLine()
	root.AddCommand(&cobra.Command{Use: "help"})
	checked := 0
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() && (name == "testdata" || name == ".git" || strings.HasSuffix(name, "test")) {
			return filepath.SkipDir
		}
		var texts []string
		switch {
		case strings.HasSuffix(name, ".md"):
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			texts = strings.Split(string(data), "\n")
			for _, m := range inlineCode.FindAllStringSubmatch(string(data), -1) {
				word, rest, _ := strings.Cut(strings.TrimPrefix(m[1], "snap "), " ")
				if c, _ := commandOf(root, word, rest); c == nil && regexp.MustCompile(`^[a-z-]+$`).MatchString(word) {
					t.Errorf("%s: there is no command %q", path, m[1])
				}
			}
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						texts = append(texts, text)
					}
				}
				return true
			})
		}
		for _, text := range texts {
			checked += len(commandWords.FindAllString(text, -1))
			for _, wrong := range wrongFlags(root, text) {
				t.Errorf("%s: there is no %s: %.80q", path, wrong, text)
			}
		}
		return nil
	})
	if err != nil || checked < 500 {
		t.Fatalf("%d commands were looked at: %v", checked, err)
	}
	if got := wrongFlags(root, "run: snap check --read-date; or snap forget --prune"); len(got) != 1 || got[0] != "snap check --read-date" {
		t.Errorf("a flag that is not there: %q", got)
	}
}
