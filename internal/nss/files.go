package nss

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxName bounds a name, in bytes.
const maxName = 255

// longLine is how much of a line is looked at, in bytes: name and number stand at its start, and a group may have any
// number of members.
const longLine = 4096

// readFile adds the lines of a file such as /etc/passwd to known, up to an error. Of a number that stands twice the first
// line counts.
func readFile(r io.Reader, known map[uint32]string) {
	lines := bufio.NewReaderSize(r, longLine)
	for {
		line, err := lines.ReadSlice('\n')
		if id, name, ok := parseLine(line); ok {
			if _, twice := known[id]; !twice {
				known[id] = name
			}
		}
		for err == bufio.ErrBufferFull {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

// parseLine parses "name:password:number:…", of which the end may be cut off. Lines that are not of that form, and names
// that cannot be one, are not ok.
func parseLine(line []byte) (id uint32, name string, ok bool) {
	fields := bytes.SplitN(line, []byte(":"), 4)
	if len(fields) < 4 || !isName(fields[0]) {
		return 0, "", false
	}
	n, err := strconv.ParseUint(string(fields[2]), 10, 32)
	if err != nil {
		return 0, "", false
	}
	return uint32(n), string(fields[0]), true
}

// isName reports whether b can be a name: comments, and lines that refer to NIS, begin with a sign.
func isName(b []byte) bool {
	if len(b) == 0 || len(b) > maxName || bytes.IndexByte([]byte("#+-"), b[0]) >= 0 {
		return false
	}
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// namesOthers reports whether nsswitch.conf names others than the services for a database.
func namesOthers(r io.Reader, database string, than ...string) bool {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		what, services, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(what) != database {
			continue
		}
		for _, s := range strings.Fields(services) {
			if isService := s[0] >= 'a' && s[0] <= 'z'; isService && !slices.Contains(than, s) { // others are actions: [NOTFOUND=return]
				return true
			}
		}
	}
	return false
}
