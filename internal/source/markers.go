package source

import (
	"fmt"
	"strings"
)

// Marker is a file whose presence leaves out all others in its folder.
type Marker struct {
	Name   string
	Header string // what it has to begin with; empty for anything
}

const cacheTag, cacheSignature = "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"

// maxHeader bounds the header that a marker asks for.
const maxHeader = 1 << 16

// Markers returns the markers of options: that of caches (https://bford.info/cachedir/) if it is wanted, and "name" or "name:header".
func Markers(caches bool, words []string) ([]Marker, error) {
	var list []Marker
	if caches {
		list = append(list, Marker{cacheTag, cacheSignature})
	}
	for _, s := range words {
		name, header, _ := strings.Cut(s, ":")
		if name == "" || strings.Contains(name, "/") || len(header) > maxHeader {
			return nil, fmt.Errorf("exclude if present: %q is no name of a file", s)
		}
		list = append(list, Marker{name, header})
	}
	return list, nil
}
