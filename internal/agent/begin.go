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
	if s.database, err = chunker.New(m.Database); err != nil {
		return err
	}
	roots, result := s.permitted(m)
	if len(roots) > 0 {
		if roots, err = s.open(ctx, m, roots, result); err != nil {
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

// permitted sorts out the roots that the policy does not allow.
func (s *session) permitted(m *protocol.BeginRequest) (roots []string, result *protocol.BeginAnswer) {
	result = &protocol.BeginAnswer{}
	for _, list := range []struct{ asked, allowed []string }{{m.Roots, s.o.Policy.Roots}, {m.Devices, s.o.Policy.Devices}} {
		for _, r := range list.asked {
			if allows(list.allowed, r) {
				roots = append(roots, r)
				continue
			}
			result.Problems = append(result.Problems, protocol.RootProblem{Root: r, Err: &protocol.Error{Code: protocol.CodeRefused,
				Text: fmt.Sprintf("the policy of this source does not allow %q", r)}})
		}
	}
	return roots, result
}

// open opens the source of roots, leaving out those that cannot be looked at, which it adds to result.
func (s *session) open(ctx context.Context, m *protocol.BeginRequest, roots []string, result *protocol.BeginAnswer) ([]string, error) {
	fold, err := filter.Compile(m.ExcludesFold, filter.Options{FoldCase: true})
	if err != nil {
		return nil, err
	}
	plain, err := filter.Compile(m.Excludes, filter.Options{})
	if err != nil {
		return nil, err
	}
	o := local.Options{Roots: roots, Exclude: []*filter.List{s.o.Policy.excludes, plain, fold},
		OneFileSystem: m.Options&protocol.OneFileSystem != 0, ExcludeCaches: m.Options&protocol.ExcludeCaches != 0,
		ExcludeIfPresent: m.ExcludeIfPresent, ExcludeLargerThan: m.LargerThan, ReadSpecial: len(m.Devices) > 0,
		Devices: m.Devices, Confined: s.o.Policy.Roots,
		WithAtime: m.Options&protocol.WithAtime != 0, NoXattrs: m.Options&protocol.NoXattrs != 0}
	for {
		src, err := local.New(o)
		if err != nil {
			return nil, err
		}
		top, err := src.Root(ctx)
		if err == nil {
			s.dirs, err = newDirs(top)
			return o.Roots, err
		}
		bad := rootErrors(err)
		if len(bad) == 0 {
			return nil, err
		}
		for _, e := range bad {
			result.Problems = append(result.Problems, protocol.RootProblem{Root: e.Path, Err: protocol.ErrorOf(e)})
			o.Roots = slices.DeleteFunc(slices.Clone(o.Roots), func(r string) bool { return r == e.Path })
		}
		if len(o.Roots) == 0 {
			return nil, nil
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
