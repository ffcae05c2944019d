package pull

import (
	"context"
	"errors"
	"io"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshconn"
)

// connectSFTP connects to a source's SFTP server: the subsystem, or what the configuration says to run.
func (p *Puller) connectSFTP(ctx context.Context, c *config.Source) (*connected, error) {
	dial, err := dialSFTP(c, p.Logins)
	if err != nil {
		return nil, err
	}
	excludes, err := patterns(c)
	if err != nil {
		return nil, err
	}
	s, err := sftp.New(dial, sftp.Options{Roots: c.Paths, Exclude: excludes, ExcludeIfPresent: c.ExcludeIfPresent, ExcludeCaches: is(c.ExcludeCaches),
		ExcludeLargerThan: int64(c.ExcludeLargerThan), OneFileSystem: is(c.OneFileSystem), AllowMissing: true, Logger: p.log,
		Limits: sftp.Limits{Bytes: int64(c.Limits.Bytes), Entries: c.Limits.Entries, Idle: c.Limits.Idle.Or(0)}})
	if err != nil {
		return nil, err
	}
	if err := s.Connect(ctx); err != nil {
		if !errors.Is(err, source.ErrBroken) && !errors.Is(err, ErrUnreachable) {
			err = unreachable(err)
		}
		return nil, errors.Join(err, s.Close())
	}
	end := func() error {
		if n := s.Linked(); n > 0 && p.log != nil {
			p.log.Info("files with several links are saved as files of their own", "files", n)
		}
		return s.Close()
	}
	watched := source.Watch(s, c.Paths)
	return &connected{source: watched, roots: watched, origin: snapshot.Origin{Transport: c.Transport, Reduced: true}, missing: s.Missing, received: s.Received, close: end}, nil
}

func dialSFTP(c *config.Source, logins *sshconn.Logins) (sftp.Dial, error) {
	d, err := dialer(c, logins)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		var conn *sshconn.Conn
		var err error
		if c.SSH.SFTP != "" {
			conn, err = d.Exec(ctx, c.SSH.SFTP)
		} else {
			conn, err = d.Dial(ctx, "sftp")
		}
		if err != nil {
			return nil, unreachable(err)
		}
		return conn, nil
	}, nil
}
