package sshconn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeyBytes bounds a file with a private key.
const maxKeyBytes = 1 << 20

// keys are what a user can be authenticated with.
type keys struct {
	signers []ssh.Signer
	skipped []string // why others cannot be used, for a message
	agent   net.Conn
}

// loadKeys collects the keys for a host: those of the agent, then those of
// files. Close ends the connection to the agent, which signs.
func loadKeys(t *target) (*keys, error) {
	k := &keys{}
	fromAgent := k.askAgent(t.agent)
	var wanted []ssh.PublicKey
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
		fromAgent = onlyOf(fromAgent, append(wanted, publicKeys(k.signers)...))
	}
	k.signers = append(fromAgent, k.signers...)
	if len(k.signers) == 0 {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrRefused, k.reason("there is none")), k.Close())
	}
	return k, nil
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
func (k *keys) askAgent(socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		k.skipped = append(k.skipped, "agent: "+err.Error())
		return nil
	}
	k.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.skipped = append(k.skipped, "agent: "+err.Error())
	}
	return signers
}

// loadKey reads a private key, and the public one beside it if the private one
// cannot be used: an agent may have it.
func loadKey(name string) (ssh.Signer, ssh.PublicKey, error) {
	public := loadPublic(name + ".pub")
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKeyBytes) {
		err = fmt.Errorf("%s is no file with a key", name)
	}
	if err != nil {
		return nil, public, err
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

func loadPublic(name string) ssh.PublicKey {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeyBytes {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	return key
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
