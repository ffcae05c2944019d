package store

import (
	"context"
	"io"
)

// SpoolFunc is a function that implements Spooler.
type SpoolFunc func(ctx context.Context) (w io.WriteCloser, commit func(ctx context.Context, name string) error, err error)

// Spool implements Spooler.
func (f SpoolFunc) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	return f(ctx)
}

// WithSpool returns outer, a wrapper of inner, with the ability to spool if
// inner has it. The function wrap makes the Spool of outer from that of inner.
func WithSpool(outer, inner Store, wrap func(Spooler) SpoolFunc) Store {
	spooler, ok := inner.(Spooler)
	if !ok {
		return outer
	}
	return withSpool{outer, wrap(spooler)}
}

// withSpool is a wrapper with the ability to spool.
type withSpool struct {
	Store
	Spooler
}

// Unwrap implements Wrapper.
func (s withSpool) Unwrap() Store { return s.Store }

// Wrapper is a Store that passes on what it is asked for to another one. Abilities beyond those of Store and Spooler are
// asked of that.
type Wrapper interface{ Unwrap() Store }
