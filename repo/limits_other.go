//go:build !linux

package repo

// maxDirs returns how many folders a backup may keep open; 0 leaves that to the engine.
func maxDirs() int { return 0 }
