package sshconn

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// exitGrace is how long a command may take to end by itself when nobody needs it any more.
const exitGrace = 2 * time.Second

// explainGrace is how long a command that has said nothing and whose output is at its end may take to end: then it is known why. A busy
// server takes its time.
const explainGrace = 30 * time.Second

// maxStderrBytes is how much of a command's last words is kept.
const maxStderrBytes = 2 << 10

// commandLine returns the external command with what is appended to it.
func (d *Dialer) commandLine(flag, what string) []string {
	argv := append([]string(nil), d.opts.Command...)
	argv = append(argv, flag)
	for _, name := range d.opts.Identities {
		argv = append(argv, "-i", name)
	}
	if known := d.opts.KnownHosts; len(known) > 0 { // it is a list of words
		argv = append(argv, "-o", `UserKnownHostsFile="`+strings.Join(known, `" "`)+`"`, "-o", "GlobalKnownHostsFile=none")
	}
	if d.address.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(d.address.Port))
	}
	if d.address.User != "" {
		argv = append(argv, "-l", d.address.User)
	}
	return append(argv, "--", d.address.Host, what)
}

// command starts the external command. Whether it connects shows when its
// output is read.
func (d *Dialer) command(flag, what string) (*Conn, error) {
	argv := d.commandLine(flag, what)
	cmd := exec.Command(argv[0], argv[1:]...)
	said := &tail{}
	cmd.Stderr = said
	cmd.WaitDelay = exitGrace
	w, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	p := &process{cmd: cmd, said: said}
	return &Conn{Reader: &commandOutput{r: r, process: p}, WriteCloser: w, end: func() error {
		w.Close()
		p.stop(exitGrace)
		return nil
	}}, nil
}

// process is a command that is waited for once.
type process struct {
	cmd  *exec.Cmd
	said *tail
	once sync.Once
}

// stop ends the command, by force after a grace, and waits for it.
func (p *process) stop(grace time.Duration) {
	p.once.Do(func() {
		kill := time.AfterFunc(grace, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		_ = p.cmd.Wait() // said tells more
	})
}

// explain makes an error of how the command ended and what it said. It ends as the remote command did, but with 255 for reasons of its own, with
// 1 for either, and above 123 as shells and others tell of times and signals, or with 126 and 127 that there is no such program.
func (p *process) explain(err error) error {
	err = p.said.explain(p.cmd.Args[0], err)
	if p.cmd.ProcessState == nil || IsPermanent(err) {
		return err
	}
	if status := p.cmd.ProcessState.ExitCode(); 1 < status && status < 124 || status == 126 || status == 127 {
		return fmt.Errorf("%w: %w: it ended with status %d", ErrNotRun, err, status)
	}
	return err
}

// commandOutput explains the end of the output by what the command said.
type commandOutput struct {
	r interface {
		Read(p []byte) (int, error)
	}
	process *process
	any     bool
}

func (o *commandOutput) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.any = o.any || n > 0
	if err != nil && !o.any {
		o.process.stop(explainGrace)
		err = o.process.explain(err)
	}
	return n, err
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	data []byte // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - maxStderrBytes; over > 0 {
		t.data = t.data[over:]
	}
	return len(p), nil
}

// text returns what was said.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}

// tell adds to an error what a command said before it ended, in one line.
func (t *tail) tell(name string, err error) error {
	return fmt.Errorf("%s: %q: %w", name, strings.ReplaceAll(t.text(), "\n", "; "), err)
}

// explain makes an error of what a command said before it ended.
func (t *tail) explain(name string, err error) error {
	said := t.text()
	err = t.tell(name, err)
	switch {
	case strings.Contains(said, "Host key verification failed"):
		return errors.Join(ErrHostKey, err)
	case strings.Contains(said, "Permission denied ("):
		return errors.Join(ErrRefused, err)
	case strings.Contains(said, "command not found"), strings.Contains(said, "a password is required"):
		return errors.Join(ErrNotRun, err)
	}
	return err
}
