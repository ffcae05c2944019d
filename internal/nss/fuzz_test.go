package nss

import (
	"bytes"
	"testing"
)

// FuzzAnswers reads what a file or getent may hold: names are ones that can be printed, and addresses are few.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{"root:x:0:0:root:/root:/bin/sh\n", "a:x:4294967295:\nb:x:0:", "+::::", "10.0.0.1 STREAM host\nfe80::1%eth0 STREAM\n", "a:x:" + string(make([]byte, 5000))} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		known := map[uint32]string{}
		readFile(bytes.NewReader(data), known)
		for id, name := range known {
			if !isName([]byte(name)) || bytes.ContainsAny([]byte(name), ":\n\x1b") || !bytes.Contains(data, []byte(name+":")) {
				t.Errorf("%d is called %q", id, name)
			}
		}
		for _, a := range parseAddresses(data) {
			if !a.IsValid() {
				t.Errorf("address %v", a)
			}
		}
	})
}
