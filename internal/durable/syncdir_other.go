//go:build !unix

package durable

import "os"

// syncDir does nothing: folders cannot be synced here.
func syncDir(f *os.File) error { return nil }
