package pull

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/repo"
	"golang.org/x/sync/errgroup"
)

// ErrRunning says that another pull of the same source is under way on this machine.
var ErrRunning = errors.New("another pull of this source is under way")

// ErrTimeout says that a pull took more than its limit of time.
var ErrTimeout = errors.New("too slow")

// Puller pulls sources into a repository.
type Puller struct {
	Repo   *repo.Repo
	Config *config.Config
	// StateDir is a folder for locks. Empty means that a double start is not noticed.
	StateDir string
	Program  string           // name and version, for the snapshots
	Now      func() time.Time // nil means time.Now
	DryRun   bool             // read everything, keep nothing
	Force    bool             // read all files again
	Accept   bool             // what guards find is told, and not held against the snapshot
	Logger   *slog.Logger     // nil means nobody
	// Logins are connections that sources share which are on one machine. Nil means that each source logs in by itself.
	Logins *sshconn.Logins

	log *slog.Logger
}

// Result is what became of one source.
type Result struct {
	Source   string
	Snapshot *repo.Snapshot // nil if none was made
	Summary  snapshot.Summary
	Partial  bool
	Problems []string    // the first of what could not be read, and hooks that failed
	Guard    guard.Class // that tripped
	Why      string
	Forgot   int   // snapshots that went by rule
	In, Out  int64 // bytes on the wire
	Duration time.Duration
	Err      error // why no snapshot was made

	read bool // the source was read to its end
}

const maxProblems = 100 // that a Result holds

// echo is how long hooks wait behind a signal that ends a pull: timeout(1), and others who end a group of processes, send it twice, and a hook that is
// just being started still belongs to the group.
const echo = 200 * time.Millisecond

// Run pulls the sources side by side and returns a result for each, in the order of names. done, if not nil, is told of
// each as it ends, from one goroutine at a time.
func (p *Puller) Run(ctx context.Context, names []string, done func(*Result)) []*Result {
	if p.log = p.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	results := make([]*Result, len(names))
	var mu sync.Mutex // guards done
	group := errgroup.Group{}
	group.SetLimit(max(1, p.Config.Parallel))
	for i, name := range names {
		group.Go(func() error {
			results[i] = p.pull(ctx, name)
			if done != nil {
				mu.Lock()
				defer mu.Unlock()
				done(results[i])
			}
			return nil
		})
	}
	_ = group.Wait() // each result has its own error
	return results
}

func (p *Puller) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// pull pulls one source, with its hooks.
func (p *Puller) pull(ctx context.Context, name string) *Result {
	r := &Result{Source: name}
	c, ok := p.Config.Sources[name]
	if !ok {
		r.Err = fmt.Errorf("there is no source %q in the configuration", name)
		return r
	}
	begin := p.now()
	defer func() { r.Duration = p.now().Sub(begin) }()
	unlock, err := p.lock(name)
	if errors.Is(err, ErrRunning) && !errors.Is(err, ErrTimeout) { // the other one tells what becomes of it
		r.Err = err
		return r
	}
	if err == nil {
		defer unlock()
	}
	contained(r, func() { p.withHooks(ctx, &c, r, err) })
	return r
}

// contained makes the error of its source of a panic: other sources go on.
func contained(r *Result, do func()) {
	defer func() {
		if x := recover(); x != nil {
			r.Err = fmt.Errorf("pull: internal error: %v\n%s", x, debug.Stack())
		}
	}()
	do()
}

// withHooks pulls between the hooks, unless there is an error already.
func (p *Puller) withHooks(ctx context.Context, c *config.Source, r *Result, failed error) {
	timeout := c.Hooks.Timeout.Or(config.DefaultHookTimeout)
	always := context.WithoutCancel(ctx)
	note := func(err error) {
		if err != nil {
			r.flaw(err)
		}
	}
	defer func() { note(runHooks(always, c.Hooks.Finally, timeout, r.environment(), false)) }()
	contained(r, func() {
		if r.Err = failed; r.Err != nil {
			return
		}
		if r.Err = runHooks(ctx, c.Hooks.Before, timeout, r.environment(), true); r.Err == nil {
			r.Err = p.guarded(ctx, c, r)
		}
	})
	if ctx.Err() != nil {
		time.Sleep(echo)
	}
	if r.Err != nil || r.Guard != guard.None {
		note(runHooks(always, c.Hooks.AfterFailure, timeout, r.environment(), false))
		return
	}
	if p.DryRun {
		return // whoever is told of successes waits for a snapshot
	}
	note(runHooks(always, c.Hooks.AfterSuccess, timeout, r.environment(), false))
}

// flaw notes what went wrong beside the snapshot.
func (r *Result) flaw(err error) {
	r.Partial = true
	r.problem(err.Error())
}

func (r *Result) problem(text string) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, text)
	}
}

// guarded pulls within the time limit.
func (p *Puller) guarded(ctx context.Context, c *config.Source, r *Result) (err error) {
	limit := c.Limits.Time.Or(config.DefaultTime)
	late := fmt.Errorf("%w: the pull took more than %v", ErrTimeout, limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	defer func() {
		if err != nil && context.Cause(ctx) == late && !errors.Is(err, ErrTimeout) {
			err = fmt.Errorf("%w: %w", late, err)
		}
	}()
	conn, err := p.connect(ctx, r.Source, c)
	if err != nil {
		return err
	}
	defer func() {
		if conn.received != nil {
			r.In, r.Out = conn.received()
		}
		if e := conn.close(); e != nil && err == nil {
			r.flaw(e)
		}
	}()
	if err := p.backup(ctx, c, conn, r); err != nil {
		return err
	}
	r.read = true
	if err := p.forget(ctx, c, r); err != nil {
		r.flaw(fmt.Errorf("the snapshot was made, but what the policy does not keep is still there: %w", err))
	}
	return nil
}
