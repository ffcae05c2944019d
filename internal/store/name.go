package store

import (
	"fmt"
	"io/fs"
)

// MaxNameBytes is the longest name a store accepts.
const MaxNameBytes = 200

// CheckName reports whether name follows the rules: slash-separated segments
// of lower-case ASCII letters, digits, '.', '_' and '-', none of them empty,
// "." or "..", at most MaxNameBytes in all. The error wraps fs.ErrInvalid.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("empty name: %w", fs.ErrInvalid)
	}
	if len(name) > MaxNameBytes {
		return fmt.Errorf("name of %d bytes, at most %d allowed: %w", len(name), MaxNameBytes, fs.ErrInvalid)
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			if !isNameByte(name[i]) {
				return fmt.Errorf("name %q has byte %#02x: %w", name, name[i], fs.ErrInvalid)
			}
			continue
		}
		switch name[start:i] {
		case "", ".", "..":
			return fmt.Errorf("name %q has segment %q: %w", name, name[start:i], fs.ErrInvalid)
		}
		start = i + 1
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
