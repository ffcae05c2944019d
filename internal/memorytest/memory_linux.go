package memorytest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Search reads all mappings of a child process that can be read, and tells which needles, of at most 4 KiB each, are in
// them. The test is skipped where the system does not let a parent read its child's memory.
func Search(t testing.TB, pid int, needles map[string][]byte) map[string]bool {
	t.Helper()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if os.IsPermission(err) {
		t.Skip("the system does not let a parent read its child's memory")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	found, total := map[string]bool{}, uint64(0)
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if n, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 {
			t.Fatalf("%q: %v", line, err)
		}
		if mode[0] != 'r' || strings.Contains(line, "[v") { // pages of the kernel
			continue
		}
		total += searchRange(t, mem, from, to, line, needles, found)
	}
	if total < 1<<20 {
		t.Fatalf("only %d bytes could be read", total)
	}
	return found
}

// searchRange reads in pieces that overlap by more than a needle.
func searchRange(t testing.TB, mem *os.File, from, to uint64, line string, needles map[string][]byte, found map[string]bool) uint64 {
	t.Helper()
	const piece, overlap = 4 << 20, 4 << 10
	buf := make([]byte, piece)
	for at := from; at < to; at += piece - overlap {
		n, err := mem.ReadAt(buf[:min(piece, to-at)], int64(at))
		if err != nil {
			t.Fatalf("read %q: %v", line, err)
		}
		for name, needle := range needles {
			if bytes.Contains(buf[:n], needle) {
				found[name] = true
			}
		}
	}
	return to - from
}

// Peak returns the most memory in bytes that a running process has had at a time: its VmHWM.
func Peak(t testing.TB, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("the system does not tell the peak of a process")
	return 0
}
