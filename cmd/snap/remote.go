package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/pflag"
)

// remoteFlags say how stores on other machines are used.
type remoteFlags struct {
	sshCommand, storageClass, spoolDir, warmUp string
	connections                                int
}

func (r *remoteFlags) register(f *pflag.FlagSet) {
	f.StringVar(&r.sshCommand, "ssh-command", "", "connect to SFTP stores with this `command`, such as \"ssh -i key\" (SNAP_SSH_COMMAND)")
	f.StringVar(&r.storageClass, "s3-storage-class", "", "storage `class` of packs of file data in S3 stores (SNAP_S3_STORAGE_CLASS)")
	f.StringVar(&r.warmUp, "warm-up", "", "`command` that makes packs readable that lie in an archive, before they are read: it gets their names on standard input, a line each (SNAP_WARM_UP)")
	f.IntVar(&r.connections, "connections", 0, "at most this `number` of connections to an SFTP server (4) or requests at once to an S3 one (16) (SNAP_CONNECTIONS)")
	f.StringVar(&r.spoolDir, "spool-dir", "", "`folder` for files on their way to a remote store that do not fit in 64 MiB of memory (SNAP_SPOOL_DIR)")
}

// maxConnections is the limit of --connections.
const maxConnections = 1024

// orVariable returns the value of a flag, or of the variable that stands for it.
func (a *app) orVariable(value, variable string) string {
	if value != "" {
		return value
	}
	return a.getenv(variable)
}

// storeOptions returns how stores are opened, by flags and environment.
func (a *app) storeOptions() (repo.StoreOptions, error) {
	r := a.global.remote
	o := repo.StoreOptions{SSHCommand: a.orVariable(r.sshCommand, "SNAP_SSH_COMMAND"), StorageClass: a.orVariable(r.storageClass, "SNAP_S3_STORAGE_CLASS"),
		SpoolDir: a.orVariable(r.spoolDir, "SNAP_SPOOL_DIR"), Connections: r.connections}
	if v := a.getenv("SNAP_CONNECTIONS"); v != "" && o.Connections == 0 {
		n, err := strconv.Atoi(v)
		if err != nil || n == 0 {
			return o, usageError("SNAP_CONNECTIONS: %q is no number from 1 to %d", v, maxConnections)
		}
		o.Connections = n
	}
	if o.Connections < 0 || o.Connections > maxConnections {
		return o, usageError("--connections: %d is outside 1 to %d", o.Connections, maxConnections)
	}
	return o, nil
}

// unreachable adds what may help if a store on another machine does not answer as it should.
func unreachable(at place, err error) error {
	return withReason(at, fmt.Errorf("open repository: %w", err))
}

// withReason gives an error its exit code and hint if it is one of a place elsewhere.
func withReason(at place, err error) error {
	switch {
	case errors.Is(err, repo.ErrHostKey):
		return fail(exitHostKey, "%w", err).withHint("compare the key with the server's, then add it: ssh-keyscan HOST >> ~/.ssh/known_hosts")
	case errors.Is(err, sshconn.ErrRefused):
		return fail(exitReadOnly, "%w", err).withHint("try the login itself with ssh: it needs a key in ~/.ssh, in ~/.ssh/config or in an agent that the server accepts")
	case errors.Is(err, fs.ErrPermission) && at.isRemote():
		return fail(exitReadOnly, "%w", err).withHint("check the credentials, and what they may do there")
	}
	return err
}
