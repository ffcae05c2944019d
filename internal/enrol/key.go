package enrol

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// PullKey returns the public key of the private one in the file, as a line of authorized_keys, and makes both if there is
// no such file: an Ed25519 key without a passphrase, mode 0600, and its public half with .pub behind the name.
func PullKey(name string) (line string, made bool, err error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		line, err = makeKey(name)
		return line, err == nil, err
	}
	if err != nil {
		return "", false, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return "", false, fmt.Errorf("%w: %s: %w", ErrPlan, name, err)
	}
	return keyLine(signer.PublicKey()), false, nil
}

func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " snap-pull"
}

func makeKey(name string) (string, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, "snap-pull")
	if err != nil {
		return "", err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return "", err
	}
	// The public half first: with the private one in place everything is there.
	if err := os.WriteFile(name+".pub", []byte(keyLine(key)+"\n"), 0o644); err != nil {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	return keyLine(key), errors.Join(err, f.Sync(), f.Close())
}
