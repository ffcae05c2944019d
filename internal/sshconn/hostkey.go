package sshconn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys checks the keys of one host against known_hosts files.
type hostKeys struct {
	address string // the name under which the host is known
	check   ssh.HostKeyCallback
	known   []string          // files that exist
	unread  []string          // lines of these whose keys cannot be read, as file:line
	origin  map[string]string // where lines were passed over: the file that each name in an answer of check stands for
}

func newHostKeys(t *target) (*hostKeys, error) {
	k := &hostKeys{address: t.knownAs()}
	for _, name := range t.known {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			k.known = append(k.known, name)
		}
	}
	if err := k.readKnown(); err != nil {
		return nil, fmt.Errorf("%w: no key of any host is known while a line cannot be read: %w", ErrHostKey, err)
	}
	return k, nil
}

// verify is an ssh.HostKeyCallback.
func (k *hostKeys) verify(_ string, remote net.Addr, key ssh.PublicKey) error {
	err := k.check(k.address, remote, key)
	if err == nil {
		return nil
	}
	fingerprint := key.Type() + " " + ssh.FingerprintSHA256(key)
	var unknown *knownhosts.KeyError
	if errors.As(err, &unknown) {
		if len(unknown.Want) == 0 {
			return fmt.Errorf("%w: %s shows %s: compare it, then add it to known_hosts%s",
				ErrHostUnknown, knownhosts.Normalize(k.address), fingerprint, k.passedOver())
		}
		file := unknown.Want[0].Filename
		if name, ok := k.origin[file]; ok {
			file = name
		}
		return fmt.Errorf("%w: %s shows %s, but %s:%d has another: somebody may be listening, or the server has changed",
			ErrHostKey, knownhosts.Normalize(k.address), fingerprint, file, unknown.Want[0].Line)
	}
	return fmt.Errorf("%w: %s shows %s: %w", ErrHostKey, knownhosts.Normalize(k.address), fingerprint, err)
}

// passedOver tells of lines that may have been of the host.
func (k *hostKeys) passedOver() string {
	if len(k.unread) == 0 {
		return ""
	}
	return "; passed over, since the key cannot be read: " + strings.Join(k.unread[:min(len(k.unread), 5)], ", ")
}

// certAlgorithms are those of host certificates.
var certAlgorithms = []string{
	ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
}

// algorithms returns the kinds of keys that are known of the host. A server has
// keys of several kinds and would else choose one that may not be known. It
// returns nil if nothing is known, which leaves all kinds, for the error.
func (k *hostKeys) algorithms() []string {
	var algorithms []string
	if k.hasAuthority() {
		algorithms = slices.Clone(certAlgorithms)
	}
	var unknown *knownhosts.KeyError
	if err := k.check(k.address, &net.TCPAddr{}, noKey{}); errors.As(err, &unknown) {
		for _, want := range unknown.Want {
			for _, algorithm := range signatures(want.Key.Type()) {
				if !slices.Contains(algorithms, algorithm) {
					algorithms = append(algorithms, algorithm)
				}
			}
		}
	}
	return algorithms
}

// signatures returns the algorithms that a kind of key signs with.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// hasAuthority reports whether a certificate authority is known for the host.
func (k *hostKeys) hasAuthority() bool {
	host := knownhosts.Normalize(k.address)
	for _, name := range k.known {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) > 1 && fields[0] == "@cert-authority" && matchHost(strings.Split(fields[1], ","), host) {
				return true
			}
		}
	}
	return false
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return bytes.Clone([]byte("none")) }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.ErrUnsupported }
