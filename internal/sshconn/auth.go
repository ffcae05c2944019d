package sshconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeyBytes bounds a file with a private key.
const maxKeyBytes = 1 << 20

// agentPatience is how long an agent may take to tell which keys it has. One that hangs, as one that was forwarded from a machine that has gone,
// keeps nobody from keys in files.
const agentPatience = 5 * time.Second

// keys are what a user can be authenticated with.
type keys struct {
	signers []ssh.Signer
	skipped []string // why others cannot be used, for a message
	agent   net.Conn
}

// loadKeys collects the keys for a host: those of the agent, then those of
// files, and before them the certificates for any of these. Close ends the connection to the agent, which signs; so does the end of ctx.
func loadKeys(ctx context.Context, t *target) (*keys, error) {
	k := &keys{}
	fromAgent := k.askAgent(ctx, t.agent)
	var wanted []ssh.PublicKey
	certificates := k.loadCertificates(t)
	for _, name := range t.identities {
		signer, public, err := loadKey(name)
		if public != nil {
			wanted = append(wanted, public)
		}
		switch {
		case err == nil:
			k.signers = append(k.signers, signer)
		case !errors.Is(err, os.ErrNotExist):
			k.skipped = append(k.skipped, err.Error())
		case t.identitiesGiven && public == nil:
			k.skipped = append(k.skipped, fmt.Sprintf("%s: no such file", name))
		}
	}
	if t.onlyIdentities {
		for _, c := range certificates {
			wanted = append(wanted, c, c.Key)
		}
		fromAgent = onlyOf(fromAgent, append(wanted, publicKeys(k.signers)...))
	}
	k.signers = append(fromAgent, k.signers...)
	k.signers = append(certified(certificates, k.signers), k.signers...)
	if len(k.signers) == 0 {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrRefused, k.reason("there is none")), k.Close())
	}
	return k, nil
}

// loadCertificates reads the certificates of a user: those that the configuration names, and those that lie beside the keys.
func (k *keys) loadCertificates(t *target) (all []*ssh.Certificate) {
	names := slices.Clone(t.certificates)
	for _, name := range t.identities {
		names = append(names, name+"-cert.pub")
	}
	for i, name := range names {
		public, err := loadPublic(name)
		c, ok := public.(*ssh.Certificate)
		switch {
		case err == nil && ok && c.CertType == ssh.UserCert:
			all = append(all, c)
		case err == nil:
			k.skipped = append(k.skipped, fmt.Sprintf("%s: no certificate of a user", name))
		case i < len(t.certificates) || !errors.Is(err, os.ErrNotExist):
			k.skipped = append(k.skipped, err.Error())
		}
	}
	return all
}

// certified returns signers for certificates whose keys are there.
func certified(certificates []*ssh.Certificate, signers []ssh.Signer) (all []ssh.Signer) {
	for _, c := range certificates {
		for _, s := range onlyOf(signers, []ssh.PublicKey{c.Key}) {
			if with, err := ssh.NewCertSigner(c, s); err == nil {
				all = append(all, with)
			}
		}
	}
	return all
}

// reason adds why keys were not used.
func (k *keys) reason(what string) string {
	return strings.Join(append([]string{what}, k.skipped...), "; ")
}

// Close ends the connection to the agent.
func (k *keys) Close() error {
	if k.agent == nil {
		return nil
	}
	return k.agent.Close()
}

// askAgent returns the keys of the agent, or remembers why there are none.
func (k *keys) askAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	soon, cancel := context.WithTimeoutCause(ctx, agentPatience, fmt.Errorf("no answer after %v", agentPatience))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(soon, "unix", socket)
	if err != nil {
		k.skipped = append(k.skipped, "agent: "+err.Error())
		return nil
	}
	k.agent = conn
	context.AfterFunc(ctx, func() { conn.Close() })
	stop := context.AfterFunc(soon, func() { conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	stop()
	if err != nil {
		k.skipped = append(k.skipped, "agent: "+causeOr(soon, err).Error())
	}
	return signers
}

// loadKey reads a private key, and the public one beside it if the private one
// cannot be used: an agent may have it.
func loadKey(name string) (ssh.Signer, ssh.PublicKey, error) {
	public, _ := loadPublic(name + ".pub") // it is needed only where an agent has the private one
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKeyBytes) {
		err = fmt.Errorf("%s is no file with a key", name)
	}
	if err != nil {
		return nil, public, err
	}
	if othersMay(info) {
		return nil, public, fmt.Errorf("%s has mode %04o, so that others may read or write it: run chmod 600 on it", name, info.Mode().Perm())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, public, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		if locked.PublicKey != nil {
			public = locked.PublicKey
		}
		return nil, public, fmt.Errorf("%s has a passphrase: add it to ssh-agent", name)
	}
	if err != nil {
		return nil, public, fmt.Errorf("%s: %w", name, err)
	}
	return signer, public, nil
}

// loadPublic reads a public key or a certificate.
func loadPublic(name string) (ssh.PublicKey, error) {
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKeyBytes) {
		err = fmt.Errorf("%s is no file with a key", name)
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

func publicKeys(signers []ssh.Signer) []ssh.PublicKey {
	var out []ssh.PublicKey
	for _, s := range signers {
		out = append(out, s.PublicKey())
	}
	return out
}

// onlyOf returns the signers whose keys are wanted.
func onlyOf(signers []ssh.Signer, wanted []ssh.PublicKey) []ssh.Signer {
	var out []ssh.Signer
	for _, s := range signers {
		for _, key := range wanted {
			if string(key.Marshal()) == string(s.PublicKey().Marshal()) {
				out = append(out, s)
				break
			}
		}
	}
	return out
}
