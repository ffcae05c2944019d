package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source/local"
	"golang.org/x/sys/unix"
)

// hello tells the server who answers.
func (s *session) hello(_ context.Context, m *protocol.HelloRequest, a *answer) error {
	p := s.o.Policy
	version, err := protocol.Agree(m.Version)
	if err != nil {
		return err
	}
	h := protocol.HelloAnswer{Version: version, Program: s.o.Program, Clock: s.clock(),
		Machine: firstLine("/etc/machine-id"), Boot: firstLine("/proc/sys/kernel/random/boot_id"), Kernel: kernel(),
		Enforced: s.o.Enforced, Policy: s.o.Place, Requests: maxRequests, Roots: p.Roots, Devices: p.Devices}
	h.Host, _ = os.Hostname() // a claim that may be empty
	for _, name := range slices.Sorted(maps.Keys(p.Streams)) {
		h.Streams = append(h.Streams, protocol.StreamInfo{Name: name, Kind: p.Streams[name].Kind})
	}
	a.buf = h.Append(a.buf)
	s.greeted = true
	return nil
}

func firstLine(name string) string {
	data, err := os.ReadFile(name)
	if err != nil || len(data) > 4096 {
		return "" // what the server is told is a claim anyway
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// begin opens the roots that the server will ask about.
func (s *session) begin(ctx context.Context, m *protocol.BeginRequest, a *answer) error {
	if s.begun {
		return fmt.Errorf("%w: begin stands once", protocol.ErrMalformed)
	}
	s.begun = true
	var err error
	if s.files, err = chunker.New(m.Files); err != nil {
		return err
	}
	if s.database, err = s.files.Like(m.Database); err != nil {
		return err
	}
	result := &protocol.BeginAnswer{}
	roots, devices := permitted(m.Roots, s.o.Policy.Roots, result), permitted(m.Devices, s.o.Policy.Devices, result)
	if len(roots)+len(devices) > 0 {
		if err = s.open(ctx, m, roots, devices, result); err != nil {
			return err
		}
	}
	if m.Options&protocol.CompressAnswers != 0 {
		s.writes.Lock()
		err = s.out.Compress()
		s.writes.Unlock()
	}
	a.buf = result.Append(a.buf)
	return err
}

// permitted returns the paths that are allowed. It adds the others to result.
func permitted(asked, allowed []string, result *protocol.BeginAnswer) (paths []string) {
	for _, p := range asked {
		if allows(allowed, p) {
			paths = append(paths, p)
			continue
		}
		result.Problems = append(result.Problems, protocol.RootProblem{Root: p, Err: &protocol.Error{Code: protocol.CodeRefused,
			Text: fmt.Sprintf("the policy of this source does not allow %q", p)}})
	}
	return paths
}

// open opens the source of roots and devices, leaving out those that cannot be looked at, which it adds to result.
func (s *session) open(ctx context.Context, m *protocol.BeginRequest, roots, devices []string, result *protocol.BeginAnswer) error {
	fold, err := filter.Compile(m.ExcludesFold, filter.Options{FoldCase: true})
	if err != nil {
		return err
	}
	plain, err := filter.Compile(m.Excludes, filter.Options{})
	if err != nil {
		return err
	}
	o := local.Options{Roots: slices.Concat(roots, devices), Exclude: []*filter.List{s.o.Policy.excludes, plain, fold},
		OneFileSystem: m.Options&protocol.OneFileSystem != 0, ExcludeCaches: m.Options&protocol.ExcludeCaches != 0,
		ExcludeIfPresent: m.ExcludeIfPresent, ExcludeLargerThan: m.LargerThan, ReadSpecial: len(devices) > 0,
		Devices: devices, Confined: s.o.Policy.Roots, Ahead: -1, // the server asks ahead
		WithAtime: m.Options&protocol.WithAtime != 0, NoXattrs: m.Options&protocol.NoXattrs != 0}
	for {
		src, err := local.New(o)
		if err != nil {
			return err
		}
		top, err := src.Root(ctx)
		if err == nil {
			s.dirs, err = newDirs(top)
			return err
		}
		bad := rootErrors(err)
		if len(bad) == 0 {
			return err
		}
		for _, e := range bad {
			result.Problems = append(result.Problems, protocol.RootProblem{Root: e.Path, Err: protocol.ErrorOf(e)})
			o.Roots = slices.DeleteFunc(slices.Clone(o.Roots), func(r string) bool { return r == e.Path })
		}
		if len(o.Roots) == 0 {
			return nil
		}
	}
}

// rootErrors returns the errors of roots that err joins.
func rootErrors(err error) (all []*local.RootError) {
	var one *local.RootError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if errors.As(err, &one) && error(one) == err {
			return []*local.RootError{one}
		}
		for _, e := range joined.Unwrap() {
			all = append(all, rootErrors(e)...)
		}
		return all
	}
	if errors.As(err, &one) {
		all = append(all, one)
	}
	return all
}
