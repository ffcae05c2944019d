// Package sshconn runs a command on an SSH server, or connects to a subsystem of it, as "ssh -s host
// sftp" does, either with a client of its own or through an external command.
//
// The client of its own takes from ssh_config(5) the keywords Include, Host,
// HostName, User, Port, IdentityFile, CertificateFile, IdentitiesOnly, IdentityAgent,
// ProxyJump, UserKnownHostsFile, GlobalKnownHostsFile and HostKeyAlias. Blocks
// of Match are those of "all", or of host, originalhost, user and localuser; others are
// passed over. A host that asks for a ProxyCommand is refused, since nothing is run that a configuration names: the
// external command is for those, and for whatever else only OpenSSH can do.
//
// The key of a host has to be in a known_hosts file, and one that is not, or
// that differs, is [ErrHostKey]; nothing is ever added there. Users are
// authenticated by keys, from an agent or from files without a passphrase, and by certificates for
// them, from the agent, as named, or beside the key (id_ed25519-cert.pub).
package sshconn
