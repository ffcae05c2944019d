package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/source/dump"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/source/stream"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/repo"
)

// DefaultAgentCommand is what is run on a source with an agent.
const DefaultAgentCommand = "snap agent"

// ErrUnreachable says that there was no connection to a source.
var ErrUnreachable = errors.New("the source cannot be reached")

// connected is a source that answers.
type connected struct {
	source   source.Source
	origin   snapshot.Origin
	agent    *agent.Source // nil for other transports
	parts    []snapshot.Part
	missing  func() []string        // roots that are not there, known when the source was read
	roots    *source.Watched        // nil if there are streams only
	received func() (in, out int64) // bytes on the wire
	close    func() error
}

// connect opens the source of a configuration.
func (p *Puller) connect(ctx context.Context, name string, c *config.Source) (*connected, error) {
	switch c.Transport {
	case config.TransportLocal:
		return connectLocal(c)
	case config.TransportSFTP:
		return p.connectSFTP(ctx, c)
	}
	return p.connectAgent(ctx, name, c)
}

func connectLocal(c *config.Source) (*connected, error) {
	excludes, err := patterns(c)
	if err != nil {
		return nil, err
	}
	o := local.Options{Roots: slices.Concat(c.Paths, c.Devices), Exclude: excludes, OneFileSystem: is(c.OneFileSystem), ExcludeCaches: is(c.ExcludeCaches),
		ExcludeIfPresent: c.ExcludeIfPresent, ExcludeLargerThan: int64(c.ExcludeLargerThan), ReadSpecial: len(c.Devices) > 0}
	src, err := local.New(o)
	if err != nil {
		return nil, err
	}
	watched := source.Watch(src, c.Paths)
	return &connected{source: watched, roots: watched, origin: snapshot.Origin{Transport: c.Transport}, close: func() error { return nil }}, nil
}

func patterns(c *config.Source) ([]*filter.List, error) {
	plain, err := filter.Compile(c.Exclude, filter.Options{})
	if err != nil {
		return nil, err
	}
	fold, err := filter.Compile(c.IExclude, filter.Options{FoldCase: true})
	return []*filter.List{plain, fold}, err
}

// dialer returns how to connect to the source's SSH server, on connections of logins unless that is nil.
func dialer(c *config.Source, logins *sshconn.Logins) (*sshconn.Dialer, error) {
	address, err := sshconn.ParseAddress(c.Address)
	if err != nil {
		return nil, err
	}
	o := sshconn.Options{Logins: logins, Idle: c.Limits.Idle.Or(0)}
	if c.SSH.Identity != "" {
		o.Identities = []string{c.SSH.Identity}
	}
	if c.SSH.KnownHosts != "" {
		o.KnownHosts = []string{c.SSH.KnownHosts}
	}
	if c.SSH.Command != "" {
		if o.Command, err = sshconn.SplitWords(c.SSH.Command); err != nil {
			return nil, err
		}
	}
	return sshconn.New(address, o)
}

// Dial returns the connection to a source's agent, which is shared through logins unless that is nil.
func Dial(c *config.Source, logins *sshconn.Logins) (agent.Dial, error) {
	d, err := dialer(c, logins)
	if err != nil {
		return nil, err
	}
	command := c.SSH.Agent
	if command == "" {
		command = DefaultAgentCommand
	}
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		conn, err := d.Exec(ctx, command)
		if err != nil {
			return nil, unreachable(err)
		}
		return conn, nil
	}, nil
}

// unreachable marks errors that are not about keys and permissions.
func unreachable(err error) error {
	if sshconn.IsPermanent(err) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// AgentOptions returns what an agent is asked for by a configuration.
func AgentOptions(c *config.Source) agent.Options {
	return agent.Options{Roots: c.Paths, Devices: c.Devices, Excludes: c.Exclude, ExcludesFold: c.IExclude, ExcludeIfPresent: c.ExcludeIfPresent,
		ExcludeCaches: is(c.ExcludeCaches), LargerThan: int64(c.ExcludeLargerThan), OneFileSystem: is(c.OneFileSystem), AllowMissing: true,
		Compress: compression(c.Compress),
		Limits:   agent.Limits{Bytes: int64(c.Limits.Bytes), Entries: c.Limits.Entries, Memory: int64(c.Limits.Memory), Idle: c.Limits.Idle.Or(0)}}
}

func compression(s string) agent.Compression {
	if s == "auto" {
		return agent.CompressAuto
	}
	return agent.Compression(s)
}

func (p *Puller) connectAgent(ctx context.Context, name string, c *config.Source) (*connected, error) {
	dial, err := Dial(c, p.Logins)
	if err != nil {
		return nil, err
	}
	o := AgentOptions(c)
	o.Logger = p.log
	if o.Files, o.Database, err = p.Repo.SourceChunkers(name); err != nil {
		return nil, err
	}
	if len(c.Snapshots) > 0 {
		o.Redials = -1 // after a cut it would be another state of the files
	}
	s := agent.New(dial, o)
	hello, err := s.Connect(ctx)
	if err != nil {
		return nil, errors.Join(unreachableUnlessTold(err), s.Close())
	}
	out := &connected{agent: s, close: s.Close, missing: s.Missing, received: s.Received, origin: snapshot.Origin{Transport: c.Transport,
		Program: snapshot.Bytes(hello.Program), Machine: snapshot.Bytes(hello.Machine), Host: snapshot.Bytes(hello.Host)}}
	thaw, err := freeze(ctx, s, c.Snapshots)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	out.close = func() error { return errors.Join(thaw(), s.Close()) }
	if inventory, err := s.Inventory(ctx); err == nil {
		out.origin.Mounts = mountsOf(slices.Concat(c.Paths, c.Devices), inventory.Mounts)
	}
	var sources []source.Source
	if len(o.Roots)+len(o.Devices) > 0 {
		watched := source.Watch(s, c.Paths)
		sources, out.roots = append(sources, watched), watched
	}
	if len(c.Streams) > 0 {
		streams, parts, err := streamsOf(s, kindsOf(c.Streams, hello.Streams))
		if err != nil {
			return nil, errors.Join(err, out.close())
		}
		sources, out.parts = append(sources, streams), parts
	}
	if len(sources) > 1 {
		out.parts = append([]snapshot.Part{{Name: "files", Kind: snapshot.PartTree}}, out.parts...)
	}
	out.source = repo.Merge(sources...)
	return out, nil
}

// thawTime is how long the removal of snapshots may take. Those that are still there then go when the agent ends.
const thawTime = 15 * time.Minute

// freeze makes the snapshots, in their order, and returns what removes them, the last one first, whatever has become of ctx.
func freeze(ctx context.Context, s *agent.Source, names []string) (thaw func() error, err error) {
	var thaws []func(context.Context) error
	thaw = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTime)
		defer cancel()
		var errs []error
		for _, t := range slices.Backward(thaws) {
			errs = append(errs, t(ctx))
		}
		return errors.Join(errs...)
	}
	for _, name := range names {
		one, err := s.Freeze(ctx, name)
		if err != nil {
			return nil, errors.Join(err, thaw())
		}
		thaws = append(thaws, one)
	}
	return thaw, nil
}

// unreachableUnlessTold marks an error of connecting, unless the agent answered.
func unreachableUnlessTold(err error) error {
	var told *protocol.Error
	if errors.As(err, &told) || errors.Is(err, source.ErrBroken) {
		return err
	}
	if errors.Is(err, ErrUnreachable) {
		return err
	}
	return unreachable(err)
}

// kindsOf fills in the kinds that a configuration leaves to the source's policy.
func kindsOf(wanted []config.Stream, told []protocol.StreamInfo) []config.Stream {
	out := slices.Clone(wanted)
	for i := range out {
		for _, t := range told {
			if out[i].Kind == "" && t.Name == out[i].Name && slices.Contains(dump.Kinds, t.Kind) {
				out[i].Kind = t.Kind
			}
		}
	}
	return out
}

// streamsOf returns the streams of a source, with their end marks checked.
func streamsOf(s *agent.Source, wanted []config.Stream) (source.Source, []snapshot.Part, error) {
	var (
		all   []stream.Stream
		parts []snapshot.Part
	)
	for _, w := range wanted {
		st := s.Stream(w.Name)
		open, kind := st.Open, w.Kind
		st.Open = func(ctx context.Context) (io.ReadCloser, error) {
			r, err := open(ctx)
			if err != nil {
				return nil, err
			}
			return dump.Check(kind, r), nil
		}
		all = append(all, st)
		parts = append(parts, snapshot.Part{Name: snapshot.Bytes(w.Name), Kind: snapshot.PartStream, Path: snapshot.Bytes(w.Name), Command: snapshot.Bytes(w.Kind)})
	}
	src, err := repo.FromStreams(all...)
	return src, parts, err
}

// mountsOf says for each path what is mounted where it lies, nothing if that is no file system that keeps files.
func mountsOf(paths []string, mounts []protocol.Mount) map[string]string {
	out := map[string]string{}
	for _, p := range paths {
		best := protocol.Mount{}
		for _, m := range mounts {
			if (p == m.Path || strings.HasPrefix(p, strings.TrimSuffix(m.Path, "/")+"/")) && len(m.Path) >= len(best.Path) {
				best = m
			}
		}
		out[p] = ""
		if best.Path != "" {
			out[p] = best.Kind + " at " + best.Path
		}
	}
	return out
}

// Uncovered returns the file systems and databases of an inventory that a configuration does not name.
func Uncovered(c *config.Source, inv *protocol.InventoryAnswer) (all []string) {
	for _, m := range inv.Mounts {
		covered := slices.ContainsFunc(slices.Concat(c.Paths, c.Devices), func(p string) bool {
			return p == m.Path || p == m.Device || strings.HasPrefix(p, strings.TrimSuffix(m.Path, "/")+"/") ||
				(!is(c.OneFileSystem) && strings.HasPrefix(m.Path, strings.TrimSuffix(p, "/")+"/"))
		})
		if !covered {
			all = append(all, fmt.Sprintf("file system %s on %s (%s)", m.Kind, m.Path, m.Device))
		}
	}
	seen := map[string]string{}
	for _, d := range inv.Databases {
		kind := d.Kind
		covered := slices.ContainsFunc(c.Streams, func(s config.Stream) bool {
			return s.Kind == kind || (s.Kind == "mysql" && kind == "mariadb") || strings.Contains(s.Name, kind)
		})
		if !covered && seen[kind] == "" {
			seen[kind] = path.Clean(d.Where)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		all = append(all, fmt.Sprintf("database %s (%s)", kind, seen[kind]))
	}
	return all
}

func is(b *bool) bool { return b != nil && *b }
