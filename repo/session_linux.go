package repo

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// processPlace names what process ids are relative to: this start of this machine, and the namespace. It is
// empty if that cannot be told.
func processPlace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + space
}

// processAlive reports whether there may be a process of that id in this place.
func processAlive(pid int) bool {
	return pid <= 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
