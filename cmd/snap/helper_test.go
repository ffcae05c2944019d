package main

import (
	"bytes"
	"strings"
	"sync"
)

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Read(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// naughtyNames returns names that a file can have and a terminal must not see.
func naughtyNames() []string {
	var names []string
	for c := 1; c < 0x20; c++ {
		names = append(names, "c"+string(rune(c))+"x")
	}
	for c := 0x7f; c < 0xa0; c++ {
		names = append(names, "u"+string(rune(c))) // as UTF-8
	}
	for c := 0x80; c <= 0xff; c++ {
		names = append(names, "b"+string([]byte{byte(c)})) // not UTF-8
	}
	return append(names, "\x1b]0;title\x07", "\x1b[2J", "turn\u202etxt.exe", "zero\u200bwidth", "\ufeffmark", "\U000E0041tag", `"quoted"`,
		`back\slash`, "-rf", "--json", " ", "trailing ", "new\nline", "\r\rcarriage", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "日本語", "größe", "👩‍👩‍👧",
		"'", "$(id)", "`id`", "%s%n", "*", "?", "[a]", "~", "#", "a:b", "latest", strings.Repeat("l", 255))
}
