package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source/dump"
	"golang.org/x/sys/unix"
)

// DefaultSnapshotTimeout bounds each command of a snapshot.
const DefaultSnapshotTimeout = 5 * time.Minute

const (
	lockPatience = 10 * time.Second // that another keeper may take to end
	removeTries  = 5                // of the command that removes a snapshot
)

// A keeper is a process beside the agent, started before the agent gives up its rights. It makes file-system snapshots by
// the commands of the policy, and removes them when it is told to, or when the agent ends, in whatever way that is. The
// two talk in lines of JSON:
//
//	agent  → keeper   {"op":"create","name":"srv"} or {"op":"remove","name":"srv"}
//	keeper → agent    {"error":"…"}, empty if all is well
type keeperQuestion struct {
	Op   string `json:"op"`
	Name string `json:"name"`
}

type keeperAnswer struct {
	Error string `json:"error"`
}

// Keep is the keeper of the policy in a file. It returns when in ends and all snapshots are removed. Signals that end a
// session do not end it. The error is that of reading, or of a snapshot that could not be removed.
func Keep(p *Policy, file string, in io.Reader, out io.Writer) error {
	// Taken and not ignored: that the commands would inherit.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	defer signal.Stop(signals)
	k := &keeping{p: p, file: file, made: map[string]bool{}, pause: 200 * time.Millisecond}
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	for lines.Scan() {
		var q keeperQuestion
		err := json.Unmarshal(lines.Bytes(), &q)
		if err == nil {
			err = k.do(q)
		}
		a := keeperAnswer{}
		if err != nil {
			a.Error = err.Error()
		}
		if answers.Encode(a) != nil {
			break // the agent is gone
		}
	}
	return errors.Join(lines.Err(), k.removeAll())
}

// keeping is what a keeper has made.
type keeping struct {
	p    *Policy
	file string
	lock *os.File // held while there is a snapshot
	made map[string]bool

	pause time.Duration // before what failed to remove a snapshot is tried again
}

func (k *keeping) do(q keeperQuestion) error {
	s, ok := k.p.Snapshots[q.Name]
	switch {
	case !ok:
		return fmt.Errorf("the policy of this source has no snapshot %q", q.Name)
	case q.Op == "create":
		return k.create(q.Name, s)
	case q.Op == "remove" && k.made[q.Name]:
		return k.remove(q.Name, s)
	}
	return fmt.Errorf("snapshot %q: there is nothing to %s", q.Name, q.Op)
}

// create makes a snapshot. What an earlier run has left, which was killed with its keeper, is removed first if it is in
// the way.
func (k *keeping) create(name string, s Snapshot) error {
	if k.made[name] {
		return fmt.Errorf("snapshot %q is made already", name)
	}
	if err := k.acquire(); err != nil {
		return fmt.Errorf("snapshot %q: %w", name, err)
	}
	k.made[name] = true // even half of it has to go
	err := s.run(s.Create)
	if err != nil && s.run(s.Remove) == nil {
		err = s.run(s.Create)
	}
	if err == nil {
		return nil
	}
	_ = s.run(s.Remove) // there may be nothing to remove
	k.forget(name)
	return fmt.Errorf("snapshot %q: %w", name, err)
}

// remove removes a snapshot, trying again what fails: a file may be in use for a moment longer.
func (k *keeping) remove(name string, s Snapshot) error {
	err := s.run(s.Remove)
	for try := 1; err != nil && try < removeTries; try++ {
		time.Sleep(k.pause)
		err = s.run(s.Remove)
	}
	if err != nil {
		return fmt.Errorf("snapshot %q is still there: %w", name, err)
	}
	k.forget(name)
	return nil
}

func (k *keeping) forget(name string) {
	delete(k.made, name)
	if len(k.made) == 0 {
		k.lock.Close()
		k.lock = nil
	}
}

// acquire keeps the snapshots of another pull from being made, or removed, under this one.
func (k *keeping) acquire() error {
	if k.lock != nil {
		return nil
	}
	f, err := os.Open(k.file)
	if err != nil {
		return err
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(100 * time.Millisecond) {
		// The keeper of a pull that was cut off may still be at work.
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("another pull has made snapshots here, and they are in use: %w", err)
	}
	k.lock = f
	return nil
}

// removeAll removes what is left, with more patience: nobody waits for an answer.
func (k *keeping) removeAll() error {
	k.pause = time.Second
	var errs []error
	for name := range k.made {
		errs = append(errs, k.remove(name, k.p.Snapshots[name]))
	}
	return errors.Join(errs...)
}

// run runs a command to its end, by force if it takes too long.
func (s Snapshot) run(command []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout())
	defer cancel()
	said := &bytes.Buffer{}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = "/", dump.Environment(s.Env), said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // what it left running in the background is not waited for
	case ctx.Err() != nil:
		return fmt.Errorf("%q took more than %v", command[0], s.timeout())
	}
	return fmt.Errorf("command %q: %w: %q", command[0], err, strings.TrimSpace(said.String()))
}

// Keeper is the agent's end of a keeper.
type Keeper struct {
	process *os.Process
	in, out *os.File

	mu      sync.Mutex // guards what follows, for one question at a time
	answers *json.Decoder
}

// kept is the variable by which a process that Restrict started anew finds the keeper that it had: the number of the
// process, which stays the same, that of the keeper, and two file descriptors.
const kept = "SNAP_AGENT_KEEPER"

// StartKeeper starts a program that calls Keep on its standard input and output, before Restrict is called. It gets a
// session of its own, so that what ends that of the agent does not end it.
func StartKeeper(cmd *exec.Cmd) (*Keeper, error) {
	if k := adoptKeeper(); k != nil {
		return k, nil
	}
	in, toKeeper, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	fromKeeper, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, toKeeper.Close())
	}
	defer out.Close()
	cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = in, out, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, toKeeper.Close(), fromKeeper.Close())
	}
	k := newKeeper(cmd.Process, toKeeper, fromKeeper)
	return k, k.share(true)
}

func newKeeper(p *os.Process, in, out *os.File) *Keeper {
	return &Keeper{process: p, in: in, out: out, answers: json.NewDecoder(out)}
}

// share lets the keeper be found by a program that this process becomes, or by none any more.
func (k *Keeper) share(with bool) error {
	flag := unix.FD_CLOEXEC
	if with {
		flag = 0
	}
	for _, f := range []*os.File{k.in, k.out} {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, flag); err != nil {
			return err
		}
	}
	if !with {
		return os.Unsetenv(kept)
	}
	return os.Setenv(kept, fmt.Sprint(os.Getpid(), k.process.Pid, k.in.Fd(), k.out.Fd()))
}

// adoptKeeper returns the keeper that this process had before Restrict started it anew, nil for none.
func adoptKeeper() *Keeper {
	var self, pid int
	var in, out uintptr
	if n, err := fmt.Sscan(os.Getenv(kept), &self, &pid, &in, &out); n != 4 || err != nil || self != os.Getpid() {
		return nil
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	return newKeeper(process, os.NewFile(in, "keeper"), os.NewFile(out, "keeper"))
}

// Close lets the keeper remove what is left, and waits for it.
func (k *Keeper) Close() error {
	err := k.in.Close()
	_, waitErr := k.process.Wait()
	return errors.Join(err, waitErr, k.out.Close())
}

func (k *Keeper) ask(op, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var a keeperAnswer
	err := json.NewEncoder(k.in).Encode(keeperQuestion{op, name})
	if err == nil {
		err = k.answers.Decode(&a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		return &protocol.Error{Code: protocol.CodeStream, Text: err.Error()}
	}
	return nil
}

// frozen stands for a snapshot among the streams: it gives nothing, and removes the snapshot when it is closed.
type frozen struct {
	ctx    context.Context
	remove func() error
}

// freeze makes a snapshot.
func (k *Keeper) freeze(ctx context.Context, name string) (*frozen, error) {
	if err := k.ask("create", name); err != nil {
		return nil, err
	}
	return &frozen{ctx, sync.OnceValue(func() error { return k.ask("remove", name) })}, nil
}

// Read waits until the stream is stopped.
func (f *frozen) Read([]byte) (int, error) {
	<-f.ctx.Done()
	return 0, context.Cause(f.ctx)
}

// Close removes the snapshot.
func (f *frozen) Close() error { return f.remove() }
