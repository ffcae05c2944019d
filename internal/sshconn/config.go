package sshconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/nss"
)

const (
	maxConfigBytes  = 1 << 20 // of one file
	maxIncludeDepth = 8
	maxIncludes     = 256 // files that one Include names
)

// settings are what configuration files say about one host. The first value
// that is found counts, also that of ProxyCommand and ProxyJump, but for files of identities and certificates, which add up.
type settings struct {
	hostName       string
	hostKeyAlias   string
	user           string
	port           string
	proxyJump      string
	proxyCommand   string
	identityAgent  string
	identitiesOnly string
	identityFiles  []string
	certificates   []string
	userKnown      []string
	globalKnown    []string
}

// configReader collects the settings of one host.
type configReader struct {
	host string // as the user gave it
	user string // the same; empty if none was
	home string
	base string // where relative names of files to include begin: the folder of the file that was read first
	into *settings
}

// file reads a configuration file; one that is missing says nothing.
func (r *configReader) file(name string, depth int) error {
	if depth > maxIncludeDepth {
		return fmt.Errorf("%w: %s: files include each other more than %d deep", ErrConfig, name, maxIncludeDepth)
	}
	if depth == 0 {
		r.base = filepath.Dir(name)
	}
	f, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if len(data) > maxConfigBytes {
		return fmt.Errorf("%w: %s is larger than %d bytes", ErrConfig, name, maxConfigBytes)
	}
	return r.lines(name, data, depth)
}

// lines reads the text of a configuration file.
func (r *configReader) lines(name string, data []byte, depth int) error {
	applies := true
	for i, line := range bytes.Split(data, []byte("\n")) {
		keyword, args, err := splitLine(string(line))
		if err == nil {
			switch keyword {
			case "":
			case "host":
				applies = matchHost(args, r.host)
			case "match":
				applies = r.match(args)
			case "include":
				if applies {
					err = r.include(args, depth)
				}
			default:
				if applies {
					r.set(keyword, args)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	return nil
}

// match reports whether a block of Match applies: if all of its conditions are among those that are known here, and hold. What was
// read so far says which host and user are meant.
func (r *configReader) match(args []string) bool {
	if len(args) == 1 && strings.EqualFold(args[0], "all") {
		return true
	}
	values := map[string]string{"originalhost": r.host, "localuser": nss.Current(), "host": hostName(r.host, r.into.hostName), "user": first(r.user, r.into.user, nss.Current())}
	for ; len(args) >= 2; args = args[2:] {
		name, negated := strings.CutPrefix(strings.ToLower(args[0]), "!")
		value, known := values[name]
		if !known || matchHost(strings.Split(args[1], ","), value) == negated {
			return false
		}
	}
	return len(args) == 0
}

// hostName returns the host to connect to.
func hostName(host, configured string) string {
	if configured == "" {
		return host
	}
	return strings.NewReplacer("%%", "%", "%h", host).Replace(configured)
}

func (r *configReader) include(patterns []string, depth int) error {
	for _, pattern := range patterns {
		pattern = expandHome(pattern, r.home)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(r.base, pattern)
		}
		names, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if len(names) > maxIncludes {
			return fmt.Errorf("%w: more than %d files to include", ErrConfig, maxIncludes)
		}
		for _, name := range names {
			if err := r.file(name, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *configReader) set(keyword string, args []string) {
	if len(args) == 0 {
		return
	}
	s := r.into
	single := map[string]*string{
		"hostname": &s.hostName, "hostkeyalias": &s.hostKeyAlias, "user": &s.user, "port": &s.port,
		"proxyjump": &s.proxyJump, "proxycommand": &s.proxyCommand,
		"identityagent": &s.identityAgent, "identitiesonly": &s.identitiesOnly,
	}
	if to, ok := single[keyword]; ok {
		if *to == "" && (keyword != "proxyjump" || s.proxyCommand == "") {
			*to = args[0]
		}
		return
	}
	switch keyword {
	case "identityfile":
		s.identityFiles = append(s.identityFiles, args[0])
	case "certificatefile":
		s.certificates = append(s.certificates, args[0])
	case "userknownhostsfile":
		if s.userKnown == nil {
			s.userKnown = args
		}
	case "globalknownhostsfile":
		if s.globalKnown == nil {
			s.globalKnown = args
		}
	}
}

// splitLine takes a line apart: a keyword in lower case, then arguments, which
// may be quoted. An equals sign may stand after the keyword.
func splitLine(line string) (keyword string, args []string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil, nil
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		end = len(line)
	}
	keyword = strings.ToLower(line[:end])
	rest := strings.TrimLeft(line[end:], " \t")
	rest = strings.TrimPrefix(rest, "=")
	args, err = SplitWords(rest)
	for i, arg := range args {
		if strings.HasPrefix(arg, "#") {
			return keyword, args[:i], err
		}
	}
	return keyword, args, err
}

// SplitWords splits a line at blanks. A word may be quoted by " or ', and
// nothing else has a meaning: no shell is involved.
func SplitWords(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" {
			return words, nil
		}
		var word strings.Builder
		for line != "" && !strings.ContainsRune(" \t\r", rune(line[0])) {
			if line[0] != '"' && line[0] != '\'' {
				word.WriteByte(line[0])
				line = line[1:]
				continue
			}
			quoted, rest, ok := strings.Cut(line[1:], line[:1])
			if !ok {
				return nil, fmt.Errorf("%w: a quotation mark is not closed", ErrConfig)
			}
			word.WriteString(quoted)
			line = rest
		}
		words = append(words, word.String())
	}
}

// matchHost reports whether a host is meant by patterns: by one at least, and
// by none that begins with an exclamation mark.
func matchHost(patterns []string, host string) bool {
	matched := false
	for _, pattern := range patterns {
		negated := strings.HasPrefix(pattern, "!")
		if matchPattern(strings.TrimPrefix(pattern, "!"), host) {
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// matchPattern matches * and ? without regard to case, in time that grows with
// the product of the lengths at most.
func matchPattern(pattern, s string) bool {
	pattern, s = strings.ToLower(pattern), strings.ToLower(s)
	star, from := -1, 0
	p := 0
	for i := 0; i < len(s); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// expandHome puts the home folder in place of a tilde.
func expandHome(name, home string) string {
	if name == "~" || strings.HasPrefix(name, "~/") {
		return filepath.Join(home, name[1:])
	}
	return name
}

// expand replaces the tokens of ssh_config(5) that are known here.
func (t *target) expand(name, home string) string {
	return expandHome(strings.NewReplacer("%%", "%", "%d", home, "%h", t.host, "%n", t.address.Host, "%p", strconv.Itoa(t.port),
		"%r", t.user, "%u", nss.Current()).Replace(name), home)
}
