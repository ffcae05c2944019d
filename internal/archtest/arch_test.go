package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/snapkeep/snap"

// rule is a line of the rules.
type rule struct {
	subject string
	allowed []string
}

func parseRules(t *testing.T, text string) (rules []rule) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		subject, rest, found := strings.Cut(line, ":")
		if !found || slices.ContainsFunc(rules, func(r rule) bool { return r.subject == subject }) {
			t.Errorf("rule %q: no colon, or the second of its name", line)
		}
		rules = append(rules, rule{subject, strings.Fields(rest)})
	}
	return rules
}

// isTestOnly reports whether a package serves tests.
func isTestOnly(pkg string) bool {
	return strings.HasSuffix(pkg, "test") || path.Base(pkg) == "generate"
}

// imports returns what each package of the module imports in files that are no tests, whatever system they are for.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != root && (name == "testdata" || name == "vendor" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		all[pkg] = append(all[pkg], module+"/none") // the package is known even without imports
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all[pkg] = append(all[pkg], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, list := range all {
		slices.Sort(list)
		all[pkg] = slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == module+"/none" })
	}
	return all
}

func TestImportsGoDown(t *testing.T) {
	rules := parseRules(t, packages)
	above := map[string]bool{}
	for _, r := range rules {
		for _, allowed := range r.allowed {
			if !above[allowed] {
				t.Errorf("%s may import %s, which does not stand above it", r.subject, allowed)
			}
		}
		above[r.subject] = true
	}
	for pkg, list := range imports(t) {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.subject == pkg })
		if i < 0 {
			t.Errorf("package %s is new: say in rules_test.go what it may import", pkg)
			continue
		}
		for _, imported := range list {
			inside, found := strings.CutPrefix(imported, module+"/")
			if found && !slices.Contains(rules[i].allowed, inside) {
				t.Errorf("%s imports %s", pkg, inside)
			}
		}
	}
}

// covers reports whether the subject of a rule is the import path or stands above it.
func (r rule) covers(imported string) bool {
	return imported == r.subject || strings.HasPrefix(imported, r.subject+"/")
}

func TestOutsideImports(t *testing.T) {
	rules := parseRules(t, outside)
	for pkg, list := range imports(t) {
		for _, imported := range list {
			if strings.HasPrefix(imported, module+"/") {
				continue
			}
			standard := isStandard(imported)
			if isTestOnly(pkg) && standard {
				continue
			}
			i := slices.IndexFunc(rules, func(r rule) bool { return r.covers(imported) })
			switch {
			case i < 0 && !standard:
				t.Errorf("%s imports %s, which no rule names", pkg, imported)
			case i >= 0 && !slices.Contains(rules[i].allowed, pkg):
				t.Errorf("%s imports %s", pkg, imported)
			}
		}
	}
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// Shipped packages have nothing of tests in them, also not by way of others.
func TestNoTestingInShippedPackages(t *testing.T) {
	all := imports(t)
	var reach func(pkg string, seen map[string]bool) []string
	reach = func(pkg string, seen map[string]bool) []string {
		for _, imported := range all[pkg] {
			inside, found := strings.CutPrefix(imported, module+"/")
			if imported == "testing" || strings.HasPrefix(imported, "testing/") {
				return []string{pkg, imported}
			}
			if found && !seen[inside] {
				seen[inside] = true
				if way := reach(inside, seen); way != nil {
					return append([]string{pkg}, way...)
				}
			}
		}
		return nil
	}
	for pkg := range all {
		if way := reach(pkg, map[string]bool{}); way != nil && !isTestOnly(pkg) {
			t.Errorf("%s", strings.Join(way, " imports "))
		}
	}
}

// The rules catch what they are there to catch.
func TestRulesBite(t *testing.T) {
	rules := parseRules(t, outside)
	for imported, pkg := range map[string]string{
		"os": "pack", "os/exec": "internal/tree", "crypto/rand": "internal/tree", "net/http": "repo", "compress/gzip": "pack", "testing": "repo", "testing/iotest": "pack",
		"filippo.io/age/agessh": "repo", "golang.org/x/crypto/ssh/agent": "repo", "github.com/klauspost/compress/zstd": "internal/record",
	} {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.covers(imported) })
		if i < 0 || slices.Contains(rules[i].allowed, pkg) {
			t.Errorf("%s may import %s", pkg, imported)
		}
	}
	if isStandard("github.com/x/y") || !isStandard("encoding/json") || !isTestOnly("repo/storetest") || isTestOnly("internal/store") {
		t.Error("what is standard, or serves tests")
	}
}
