package pull

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/enrol"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source/agent"
)

// Report is what a look at a source has shown. All but the times is what the source says.
type Report struct {
	Source    string
	Hello     *protocol.HelloAnswer // nil where no agent answers
	Connect   time.Duration         // to the first answer
	Skew      time.Duration         // of the source's clock, ahead of this one
	Missing   []string              // paths, devices and streams that are configured and not there
	Uncovered []string              // file systems and databases that are there and not configured
}

// Look connects to a source, and looks at its roots without reading a file. The error is why a pull would fail.
func Look(ctx context.Context, name string, c *config.Source) (*Report, error) {
	r := &Report{Source: name}
	if c.Transport != config.TransportAgent {
		return r, lookAtRoots(ctx, c, r)
	}
	begin := time.Now()
	s, err := openAgent(c, c.Paths, c.Devices)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if r.Hello, err = s.Connect(ctx); err != nil {
		return nil, unreachableUnlessTold(err)
	}
	r.Connect = time.Since(begin)
	r.Skew = time.Until(s.Now()).Round(time.Second)
	thaw, err := freeze(ctx, s, c.Snapshots)
	if err != nil {
		return nil, err
	}
	if len(c.Paths)+len(c.Devices) > 0 {
		_, err = s.Root(ctx)
	}
	if err = errors.Join(err, thaw()); err != nil {
		return nil, err
	}
	r.Missing = s.Missing()
	for _, w := range c.Streams {
		if !slices.ContainsFunc(r.Hello.Streams, func(i protocol.StreamInfo) bool { return i.Name == w.Name }) {
			r.Missing = append(r.Missing, "stream "+w.Name)
		}
	}
	inventory, err := s.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	r.Uncovered = Uncovered(c, inventory)
	return r, nil
}

// lookAtRoots opens what has no agent.
func lookAtRoots(ctx context.Context, c *config.Source, r *Report) error {
	begin := time.Now()
	conn, err := (&Puller{}).connect(ctx, r.Source, c)
	if err != nil {
		return err
	}
	r.Connect = time.Since(begin)
	_, err = conn.source.Root(ctx)
	if conn.missing != nil {
		r.Missing = conn.missing()
	}
	return errors.Join(err, conn.close())
}

// openAgent returns an agent's source that cuts by a polynomial of nobody, for what is only looked at.
func openAgent(c *config.Source, paths, devices []string) (*agent.Source, error) {
	dial, err := Dial(c, nil)
	if err != nil {
		return nil, err
	}
	polynomial, err := chunker.RandomPolynomial(rand.Reader)
	if err != nil {
		return nil, err
	}
	o := AgentOptions(c)
	o.Roots, o.Devices, o.Redials = paths, devices, -1
	o.Files, o.Database = chunker.Files(polynomial), chunker.Database(polynomial)
	return agent.New(dial, o), nil
}

// Audit tries what the key of a pull can do on a source: with SSH, and by asking the agent for what its policy does not
// allow, or the SFTP server to write. The error is one of connecting.
func Audit(ctx context.Context, c *config.Source) ([]enrol.Attempt, error) {
	d, err := dialer(c, nil)
	if err != nil {
		return nil, err
	}
	all, err := enrol.AuditLogin(ctx, d)
	if err != nil {
		return nil, unreachable(err)
	}
	if c.Transport == config.TransportSFTP {
		return auditSFTP(ctx, c, all)
	}
	s, err := openAgent(c, nil, nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	hello, err := s.Connect(ctx)
	if err != nil {
		return nil, unreachableUnlessTold(err)
	}
	all = append(all, enforced(hello))
	for _, path := range outside(hello.Roots) {
		all = append(all, askFor(ctx, c, path))
	}
	return append(all, askStream(ctx, s)), nil
}

// auditSFTP tries to write where the pull reads.
func auditSFTP(ctx context.Context, c *config.Source, all []enrol.Attempt) ([]enrol.Attempt, error) {
	dial, err := dialSFTP(c, nil)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	all = slices.DeleteFunc(all, func(a enrol.Attempt) bool { return a.What == enrol.UseSFTP })
	return append(all, enrol.AuditSFTP(ctx, conn, c.Paths)...), nil
}

// enforced says whether a kernel keeps the agent from writing.
func enforced(h *protocol.HelloAnswer) enrol.Attempt {
	a := enrol.Attempt{What: "write through the agent", Verdict: enrol.Refused, Detail: "the kernel enforces " + strings.Join(h.Enforced, ", ")}
	if !slices.Contains(h.Enforced, "landlock") {
		a.Verdict, a.Detail = enrol.Unknown, "the agent has no code that writes, but no kernel enforces that: Landlock is missing there, or new_privileges is set"
	}
	return a
}

// outside returns places that a policy with these roots does not allow.
func outside(roots []string) (paths []string) {
	for _, p := range []string{"/", "/etc/shadow", "/root", "/proc/1/environ", "/home", "/var/lib"} {
		if !slices.ContainsFunc(roots, func(r string) bool { return r == p || r == "/" || strings.HasPrefix(p, r+"/") }) {
			paths = append(paths, p)
		}
	}
	if len(roots) > 0 && !slices.Contains(roots, "/") {
		paths = append(paths, strings.TrimSuffix(roots[0], "/")+"/../..", roots[0]+"-")
	}
	return paths
}

// askFor asks the agent for a path.
func askFor(ctx context.Context, c *config.Source, path string) enrol.Attempt {
	a := enrol.Attempt{What: fmt.Sprintf("read %s through the agent", path)}
	s, err := openAgent(c, []string{path}, nil)
	if err != nil {
		a.Verdict, a.Detail = enrol.Unknown, err.Error()
		return a
	}
	defer s.Close()
	_, err = s.Root(ctx)
	var told *protocol.Error
	switch {
	case err == nil:
		a.Verdict, a.Detail = enrol.Allowed, "the policy does not name it"
	case errors.As(err, &told):
		a.Verdict, a.Detail = enrol.Refused, told.Text
	default:
		a.Verdict, a.Detail = enrol.Unknown, err.Error()
	}
	return a
}

// askStream asks the agent to run what no policy names.
func askStream(ctx context.Context, s *agent.Source) enrol.Attempt {
	a := enrol.Attempt{What: "run a command through the agent"}
	r, err := s.Stream("snap-audit; id").Open(ctx)
	if err == nil {
		r.Close()
		a.Verdict, a.Detail = enrol.Allowed, "a command ran that the policy does not name"
		return a
	}
	a.Verdict, a.Detail = enrol.Refused, err.Error()
	return a
}
