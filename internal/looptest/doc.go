// Package looptest makes block devices of files, also while other tests do the same.
package looptest
