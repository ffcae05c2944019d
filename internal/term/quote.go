package term

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name returns name as it is if all of it can be printed, else in double quotes with
// escapes as in Go. A name that begins with a double quote is quoted too, so that
// both forms can be told apart.
func Name(name string) string {
	if printable(name) && !strings.HasPrefix(name, `"`) {
		return name
	}
	return strconv.Quote(name)
}

// Line returns a message as one printable line: what cannot be printed is escaped
// where it stands, and line breaks become semicolons.
func Line(message string) string {
	message = strings.ReplaceAll(strings.TrimRight(message, "\n"), "\n", "; ")
	if printable(message) {
		return message
	}
	var b strings.Builder
	for len(message) > 0 {
		r, n := utf8.DecodeRuneInString(message)
		if (r == utf8.RuneError && n == 1) || !strconv.IsPrint(r) {
			quoted := strconv.Quote(message[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(message[:n])
		}
		message = message[n:]
	}
	return b.String()
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			return printableRunes(s[i:])
		}
	}
	return true
}

func printableRunes(s string) bool {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if (r == utf8.RuneError && n == 1) || !strconv.IsPrint(r) {
			return false
		}
		s = s[n:]
	}
	return true
}

// JSON escapes in encoded JSON what encoding/json leaves in strings though it cannot be
// printed: DEL, the control characters after it, and invisible ones such as those
// that turn the direction of text.
func JSON(encoded []byte) []byte {
	if printable(string(encoded)) {
		return encoded
	}
	out := make([]byte, 0, len(encoded)+16)
	for len(encoded) > 0 {
		r, n := utf8.DecodeRune(encoded)
		if r >= 0x7f && !strconv.IsPrint(r) {
			out = appendEscape(out, r)
		} else {
			out = append(out, encoded[:n]...)
		}
		encoded = encoded[n:]
	}
	return out
}

// appendEscape appends r as JSON writes it, with a surrogate pair if need be.
func appendEscape(out []byte, r rune) []byte {
	unit := func(v rune) {
		const digits = "0123456789abcdef"
		out = append(out, '\\', 'u', digits[v>>12&15], digits[v>>8&15], digits[v>>4&15], digits[v&15])
	}
	if r < 0x10000 {
		unit(r)
	} else {
		r -= 0x10000
		unit(0xd800 + r>>10)
		unit(0xdc00 + r&0x3ff)
	}
	return out
}
