package store

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
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

// CheckFree is the start of each method that takes a name, of a store that keeps temporary files in the folder temp: no file of
// the store lies there. The error is that of ctx, of CheckName, or wraps fs.ErrInvalid.
func CheckFree(ctx context.Context, name, temp string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := CheckName(name); err != nil {
		return err
	}
	if IsIn(temp, name) {
		return fmt.Errorf("%s is the folder for temporary files: %w", temp, fs.ErrInvalid)
	}
	return nil
}

// IsIn reports whether name is that of a folder, or of something in it.
func IsIn(folder, name string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
