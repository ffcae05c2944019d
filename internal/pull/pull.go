package pull

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// grace lets a daily run that begins a little early not slip by a day. It is at most half of the interval.
const grace = 15 * time.Minute

// Due returns the sources that are due, in order of their names: whose last good snapshot is older than they ask for, or
// bears a time that is yet to come.
func (p *Puller) Due(ctx context.Context) ([]string, error) {
	last, err := p.LastGood(ctx)
	if err != nil {
		return nil, err
	}
	var due []string
	for name, c := range p.Config.Sources {
		every := c.Every.Or(config.DefaultEvery)
		s := last[name]
		if s == nil || p.now().Sub(s.Time) >= every-min(grace, every/2) || s.Time.After(p.now()) {
			due = append(due, name)
		}
	}
	slices.Sort(due)
	return due, nil
}

// LastGood returns the last snapshot of each configured source that is not suspicious.
func (p *Puller) LastGood(ctx context.Context) (map[string]*repo.Snapshot, error) {
	return p.lastGood(ctx, repo.Filter{})
}

func (p *Puller) lastGood(ctx context.Context, filter repo.Filter) (map[string]*repo.Snapshot, error) {
	all, err := p.Repo.Snapshots(ctx, filter)
	if err != nil {
		return nil, err
	}
	last := map[string]*repo.Snapshot{}
	for _, s := range all {
		name := string(s.SourceName)
		if _, ours := p.Config.Sources[name]; !ours || s.HasMark(snapshot.MarkSuspicious) {
			continue
		}
		if before := last[name]; before == nil || before.Sequence < s.Sequence {
			last[name] = s
		}
	}
	return last, nil
}

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
	if err != nil {
		r.Err = err
		return r
	}
	defer unlock()
	contained(r, func() { p.withHooks(ctx, &c, r) })
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

// withHooks pulls between the hooks.
func (p *Puller) withHooks(ctx context.Context, c *config.Source, r *Result) {
	timeout := c.Hooks.Timeout.Or(config.DefaultHookTimeout)
	always := context.WithoutCancel(ctx)
	note := func(err error) {
		if err != nil {
			r.flaw(err)
		}
	}
	defer func() { note(runHooks(always, c.Hooks.Finally, timeout, r.environment(), false)) }()
	contained(r, func() {
		if r.Err = runHooks(ctx, c.Hooks.Before, timeout, r.environment(), true); r.Err == nil {
			r.Err = p.guarded(ctx, c, r)
		}
	})
	if r.Err != nil || r.Guard != guard.None {
		note(runHooks(always, c.Hooks.AfterFailure, timeout, r.environment(), false))
		return
	}
	note(runHooks(always, c.Hooks.AfterSuccess, timeout, r.environment(), false))
}

// environment tells hooks what happened; nothing of it before the pull.
func (r *Result) environment() []string {
	result := "success"
	switch {
	case r.Err == nil && !r.read:
		return []string{"SNAP_SOURCE=" + r.Source}
	case r.Err != nil:
		result = "failure"
	case r.Guard != guard.None:
		result = "suspicious"
	case r.Partial:
		result = "partial"
	}
	env := []string{"SNAP_SOURCE=" + r.Source, "SNAP_RESULT=" + result}
	if r.Snapshot != nil {
		env = append(env, "SNAP_SNAPSHOT="+r.Snapshot.ID.String())
	}
	if r.Err != nil {
		env = append(env, "SNAP_ERROR="+strings.Map(printable, r.Err.Error()))
	}
	if r.Why != "" {
		env = append(env, "SNAP_WHY="+strings.Map(printable, r.Why))
	}
	return env
}

// printable drops control characters, NUL above all, which no variable can hold.
func printable(c rune) rune {
	if c < ' ' || c == 0x7f {
		return ' '
	}
	return c
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
		err = errors.Join(err, conn.close())
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

// backup makes the snapshot.
func (p *Puller) backup(ctx context.Context, c *config.Source, conn *connected, r *Result) error {
	var (
		mu      sync.Mutex // guards r.Problems and touched
		touched []string
	)
	good, err := p.lastGood(ctx, repo.Filter{Sources: []string{r.Source}})
	if err != nil {
		return err
	}
	last := good[r.Source]
	canaries := newCanaries(c.Guards.Canaries)
	result, err := p.Repo.Backup(ctx, repo.BackupOptions{
		Source: conn.source, SourceName: r.Source, Host: hostOf(c), Paths: slices.Concat(c.Paths, c.Devices), Excludes: slices.Concat(c.Exclude, c.IExclude), Tags: c.Tags,
		Parts: conn.parts, Origin: &conn.origin, Program: p.Program, DryRun: p.DryRun, Force: p.Force, AllowEmpty: true,
		// What changed is counted from the last good snapshot: a suspicious one would hide it.
		Parent: last, Item: canaries.watch(),
		Problem: func(x repo.Problem) {
			mu.Lock()
			defer mu.Unlock()
			r.problem(fmt.Sprintf("%s: %v", x.Path, x.Err))
		},
		Check: func(s, _ *repo.Snapshot) error {
			if last != nil {
				touched = canaries.touched(p.Force)
			}
			r.Guard, r.Why = p.check(c, s, last, touched, conn)
			if p.Accept {
				r.Guard = guard.None
			}
			if r.Guard != guard.None {
				s.Marks, s.Why = append(s.Marks, snapshot.MarkSuspicious), r.Why
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	r.Snapshot, r.Summary, r.Partial = result.Snapshot, result.Summary, result.Partial
	return nil
}

// check asks the guards.
func (p *Puller) check(c *config.Source, s, last *repo.Snapshot, touched []string, conn *connected) (guard.Class, string) {
	now := lookOf(s)
	now.CanariesTouched = touched
	if p.Force {
		now.New, now.Changed = 0, 0 // all files count as new then, which tells nothing
	}
	var before *guard.Look
	if last != nil {
		before = lookOf(last)
	}
	found := guard.Check(now, before, guard.Limits{Shrink: percent(c.Guards.Shrink, config.DefaultShrink), Changed: percent(c.Guards.Changed, config.DefaultChanged),
		Renamed: percent(c.Guards.Renamed, config.DefaultRenamed), AllowEmpty: is(c.Guards.AllowEmpty), NewHost: is(c.Guards.NewHost)})
	if conn.missing != nil {
		for _, root := range conn.missing() {
			found = append(found, guard.Finding{Class: guard.Missing, Why: "root missing: " + root})
		}
	}
	return guard.Worst(found)
}

func lookOf(s *repo.Snapshot) *guard.Look {
	l := &guard.Look{}
	if x := s.Summary; x != nil {
		l.Files, l.Bytes, l.New, l.Changed, l.Added, l.Packed = x.Files, x.Bytes, x.FilesNew, x.FilesChanged, x.DataAdded, x.DataAddedPacked
	}
	if s.Origin != nil {
		l.Machine, l.Mounts = string(s.Origin.Machine), s.Origin.Mounts
	}
	return l
}

func percent(p *config.Percent, otherwise float64) float64 {
	if p == nil {
		return otherwise
	}
	return float64(*p)
}

// hostOf returns the host label of a source's snapshots: the server's word, not the source's.
func hostOf(c *config.Source) string {
	if c.Host != "" {
		return c.Host
	}
	if c.Address == "" {
		name, err := os.Hostname()
		if err != nil {
			return ""
		}
		return name
	}
	if a, err := sshconn.ParseAddress(c.Address); err == nil {
		return a.Host
	}
	return c.Address
}

// forget lets go of what the policy does not keep. A suspicious newest snapshot holds everything.
func (p *Puller) forget(ctx context.Context, c *config.Source, r *Result) error {
	if p.DryRun || r.Guard != guard.None {
		return nil
	}
	policy, err := p.policy(ctx, c, r.Source)
	if err != nil || policy == nil {
		return err
	}
	plan, err := p.Repo.ForgetPlan(ctx, *policy, repo.Filter{Sources: []string{r.Source}}, repo.ForgetPlanOptions{})
	if err != nil {
		return err
	}
	ids := plan.Remove()
	if len(ids) == 0 {
		return nil
	}
	if _, err := p.Repo.Forget(ctx, ids, repo.ForgetOptions{}); err != nil {
		return err
	}
	r.Forgot = len(ids)
	return nil
}

// policy returns what to keep of a source: by the configuration, or as stored in the repository; nil for all.
func (p *Puller) policy(ctx context.Context, c *config.Source, name string) (*repo.Policy, error) {
	if k := c.Keep; k != nil {
		return &repo.Policy{KeepLast: k.Last, KeepHourly: k.Hourly, KeepDaily: k.Daily, KeepWeekly: k.Weekly, KeepMonthly: k.Monthly, KeepYearly: k.Yearly}, nil
	}
	stored, err := p.Repo.Policy(ctx, snapshot.SourceIDOf(name))
	if errors.Is(err, repo.ErrNoPolicy) {
		return nil, nil
	}
	return &stored, err
}

// lock keeps a second pull of a source away. It is given back when this process ends, however that happens.
func (p *Puller) lock(name string) (unlock func(), err error) {
	if p.StateDir == "" {
		return func() {}, nil
	}
	dir := filepath.Join(p.StateDir, "pull", p.Repo.ID())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, snapshot.SourceIDOf(name).String()+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrRunning
	}
	return func() { f.Close() }, nil
}

// canaries notices files that nobody changes.
type canaries struct {
	unseen map[string]bool // paths without the leading slash
	paths  []string
	bad    []string
}

func newCanaries(paths []string) *canaries {
	c := &canaries{unseen: map[string]bool{}, paths: paths}
	for _, p := range paths {
		c.unseen[strings.TrimPrefix(p, "/")] = true
	}
	return c
}

// watch returns what is to be told of each file, nil if there are no canaries: then nobody has to look at each.
func (c *canaries) watch() func(repo.Item) {
	if len(c.paths) == 0 {
		return nil
	}
	return c.item
}

func (c *canaries) item(i repo.Item) {
	if c.unseen[i.Path] {
		delete(c.unseen, i.Path)
		if i.Action != "unchanged" {
			c.bad = append(c.bad, "/"+i.Path)
		}
	}
}

// touched returns the canaries that changed, are new, or are gone. Of files that were all read again it is not known
// which have changed.
func (c *canaries) touched(all bool) []string {
	var out []string
	if !all {
		out = slices.Clone(c.bad)
	}
	for _, p := range c.paths {
		if c.unseen[strings.TrimPrefix(p, "/")] {
			out = append(out, p)
		}
	}
	return out
}
