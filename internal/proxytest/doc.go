// Package proxytest is a proxy for TCP that breaks: it cuts connections after
// some bytes, falls silent, slows down, or refuses. Ended is a connection that is over.
package proxytest
