package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// ErrInvalid says that a configuration cannot be used.
var ErrInvalid = errors.New("configuration")

const maxFile = 4 << 20 // bytes of a file

// Load reads the file name, or all *.yaml files of the folder name, checks what it says, and fills each source with the
// defaults. The error wraps ErrInvalid and names file and line, or is that of reading.
func Load(name string) (*Config, error) {
	files, err := filesOf(name)
	if err != nil {
		return nil, err
	}
	l := newLoader()
	for _, file := range files {
		data, err := read(file)
		if err != nil {
			return nil, err
		}
		if err := l.add(file, data); err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrInvalid, file, err)
		}
	}
	if file, err := l.complete(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrInvalid, or(file, name), err)
	}
	return l.whole, nil
}

// Parse parses, checks and completes one file.
func Parse(data []byte) (*Config, error) {
	l := newLoader()
	err := l.add("", data)
	if err == nil {
		_, err = l.complete()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return l.whole, nil
}

// filesOf returns the files of a configuration, in the order of their names. With an error about one of them it returns the others.
func filesOf(name string) (files []string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("%w %s: everybody can put files into it, and they name commands to run: chmod o-w", ErrInvalid, name)
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var bad error
	for _, e := range entries {
		file := filepath.Join(name, e.Name())
		mine, err := belongs(file)
		if err != nil && bad == nil {
			bad = fmt.Errorf("%w %s: %w", ErrInvalid, file, err)
		}
		if mine && err == nil {
			files = append(files, file)
		}
	}
	if len(files) == 0 && bad == nil {
		bad = fmt.Errorf("%w: no *.yaml file in %s: %w", ErrInvalid, name, fs.ErrNotExist)
	}
	return files, bad
}

// belongs reports whether a file of a folder is one of the configuration. The error is about one that somebody may take for one.
func belongs(file string) (bool, error) {
	base, ext := filepath.Base(file), filepath.Ext(file)
	if strings.HasPrefix(base, ".") || !strings.EqualFold(ext, ".yaml") && !strings.EqualFold(ext, ".yml") {
		return false, nil
	}
	if ext != ".yaml" {
		return false, fmt.Errorf("it would not be read: name it %s", strings.TrimSuffix(base, ext)+".yaml")
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return false, errors.New("it is no file")
	}
	return true, nil
}

// read reads a file. One that everybody can write to would let everybody run commands as whoever pulls.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("%w %s: everybody can write to it, and it names commands to run: chmod o-w", ErrInvalid, file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%w %s: larger than 4 MiB", ErrInvalid, file)
	}
	return data, err
}

func parse(data []byte) (*Config, error) {
	c := &Config{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && err != io.EOF {
		return nil, explain(err)
	}
	if err := dec.Decode(&yaml.Node{}); err != io.EOF {
		return nil, errors.New("more than one document in a file")
	}
	return c, nil
}

// unknown is what the decoder says of a field that is not there.
var unknown = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`field (.+) not found in type config\.(\w+)`)
})

// mismatch is what it says of a value of another kind.
var mismatch = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`cannot unmarshal !!\w+ ?(.*) into (\S+)$`)
})

// wanted says what a field of a Go type is written as.
func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list, as [one, two],"
	case strings.HasPrefix(goType, "int"):
		return "a whole number"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "a text"
	}
	return "a mapping, as {name: value},"
}

// explain rewrites errors of the decoder for people.
func explain(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if strings.Contains(text, "cannot start any token") {
			text += ": lines are indented by blanks, not by tabs, and text that begins with a sign stands in quotes"
		}
		return errors.New(text)
	}
	var lines []string
	for _, e := range te.Errors {
		e = unknown().ReplaceAllStringFunc(e, func(s string) string {
			m := unknown().FindStringSubmatch(s)
			return suggest(m[1], m[2])
		})
		lines = append(lines, mismatch().ReplaceAllStringFunc(e, func(s string) string {
			m := mismatch().FindStringSubmatch(s)
			return strings.TrimSpace(fmt.Sprintf("%s is needed here, not %s", wanted(m[2]), strings.ReplaceAll(m[1], "`", `"`)))
		}))
	}
	return errors.New(strings.Join(lines, "; "))
}

// suggest says that a type has no field of the name, and which one may be meant.
func suggest(name, typeName string) string {
	all := fieldsOf(typeName)
	if best := nearest(name, all); best != "" {
		return fmt.Sprintf("there is no %q here; did you mean %q?", name, best)
	}
	return fmt.Sprintf("there is no %q here; there are %s", name, strings.Join(all, ", "))
}

// nearest returns the word that is nearest to what was written, "" if none is near.
func nearest(written string, words []string) string {
	best, distance := "", len(written)/2+1
	for _, w := range words {
		if d := editDistance(strings.ToLower(written), w); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// choice checks a value of which there are few.
func choice(what, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	hint, known := "", slices.DeleteFunc(known, func(k string) bool { return k == "" })
	if best := nearest(value, known); best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	}
	return fmt.Errorf("%s %q: there are %s%s", what, value, strings.Join(known, ", "), hint)
}

var types = []any{Config{}, Repository{}, Source{}, SSH{}, Stream{}, Keep{}, Limits{}, Guards{}, Hooks{}}

func fieldsOf(typeName string) (names []string) {
	for _, t := range types {
		if rt := reflect.TypeOf(t); rt.Name() == typeName {
			for i := range rt.NumField() {
				names = append(names, rt.Field(i).Tag.Get("yaml"))
			}
		}
	}
	return names
}

// editDistance is the number of letters to insert, remove or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for k := range len(b) {
			cost := last
			if a[i] != b[k] {
				cost++
			}
			last = row[k+1]
			row[k+1] = min(cost, row[k]+1, last+1)
		}
	}
	return row[len(b)]
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
