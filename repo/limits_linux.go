package repo

import "syscall"

// maxDirs returns how many folders a backup may keep open: half of the descriptors that this process may have.
func maxDirs() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(max(limit.Cur/2, 32), 1<<20))
}
