package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/pflag"
	xterm "golang.org/x/term"
)

// Prefixes of flags.
const (
	fromPrefix = "from-" // for a repository that is read beside the one that is written
	newPrefix  = "new-"  // for a key that is added
)

// maxSecretBytes bounds what is read as a passphrase or key file.
const maxSecretBytes = 1 << 20

// secretFlags say where a passphrase or key comes from.
type secretFlags struct {
	prefix                                  string // of the flags, new- or from- for a second secret
	variable                                string // beginning of the variables of the environment, empty for none
	passwordFile, passwordCommand, identity string
	passwordFD                              int
}

func (s *secretFlags) register(f *pflag.FlagSet, prefix, short string) {
	s.prefix = prefix
	s.variable = map[string]string{"": "SNAP_", fromPrefix: "SNAP_FROM_"}[prefix]
	env := func(suffix string) string {
		if s.variable == "" {
			return ""
		}
		return " (" + s.variable + suffix + ")"
	}
	f.StringVarP(&s.passwordFile, prefix+"password-file", short, "", "`file` with the passphrase"+env("PASSWORD_FILE"))
	f.StringVar(&s.passwordCommand, prefix+"password-command", "", "shell `command` that prints the passphrase"+env("PASSWORD_COMMAND"))
	f.IntVar(&s.passwordFD, prefix+"password-fd", -1, "file descriptor `number` to read the passphrase from"+env("PASSWORD_FD"))
	if s.variable != "" {
		f.StringVar(&s.identity, prefix+"identity-file", "", "`file` of age identities, or an SSH private key"+env("IDENTITY_FILE"))
	}
}

// secret is a passphrase, or the content of a key file.
type secret struct {
	passphrase string
	identity   []byte
	file       string // that identity was read from
}

// fromFlags returns the secret that the flags name, nil if they name none.
func (a *app) fromFlags(ctx context.Context, s *secretFlags) (*secret, error) {
	given := 0
	for _, set := range []bool{s.passwordFile != "", s.passwordCommand != "", s.passwordFD >= 0, s.identity != ""} {
		if set {
			given++
		}
	}
	if given > 1 {
		return nil, usageError("give one of --%spassword-file, --%spassword-command, --%spassword-fd and --%sidentity-file", s.prefix, s.prefix, s.prefix, s.prefix)
	}
	switch {
	case s.passwordFD >= 0:
		return readPassphraseFD(s.passwordFD)
	case s.passwordCommand != "":
		return a.commandPassphrase(ctx, s.passwordCommand)
	case s.passwordFile != "":
		return readPassphraseFile(s.passwordFile)
	case s.identity != "":
		return readIdentity(s.identity)
	}
	return nil, nil
}

// fromEnvironment does the same for the environment. What other processes cannot
// see comes first.
func (a *app) fromEnvironment(ctx context.Context) (*secret, error) {
	return a.fromVariables(ctx, a.global.secret.variable)
}

// fromVariables does so for variables that begin with prefix.
func (a *app) fromVariables(ctx context.Context, prefix string) (*secret, error) {
	if v := a.getenv(prefix + "PASSWORD_FD"); v != "" {
		fd, err := strconv.Atoi(v)
		if err != nil || fd < 0 {
			return nil, usageError("%sPASSWORD_FD: %q is no file descriptor", prefix, v)
		}
		return readPassphraseFD(fd)
	}
	if v := a.getenv(prefix + "PASSWORD_COMMAND"); v != "" {
		return a.commandPassphrase(ctx, v)
	}
	if v := a.getenv(prefix + "PASSWORD_FILE"); v != "" {
		return readPassphraseFile(v)
	}
	if v := a.getenv(prefix + "IDENTITY_FILE"); v != "" {
		return readIdentity(v)
	}
	if v := a.getenv(prefix + "PASSWORD"); v != "" {
		return &secret{passphrase: v}, nil
	}
	return nil, nil
}

func readPassphraseFile(name string) (*secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fail(exitWrongKey, "passphrase file: %w", err).withHint("check --password-file or SNAP_PASSWORD_FILE")
	}
	defer f.Close()
	return readPassphrase(f, "passphrase file "+strconv.Quote(name))
}

func readPassphraseFD(fd int) (*secret, error) {
	f := os.NewFile(uintptr(fd), "password-fd")
	if f == nil {
		return nil, usageError("password file descriptor %d is not open", fd)
	}
	defer f.Close()
	return readPassphrase(f, fmt.Sprintf("file descriptor %d", fd))
}

// readPassphrase reads all of r and takes the line end off.
func readPassphrase(r io.Reader, what string) (*secret, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSecretBytes+1))
	if err != nil {
		return nil, fail(exitWrongKey, "%s: %w", what, err)
	}
	if len(data) > maxSecretBytes {
		return nil, fail(exitWrongKey, "%s is over %d bytes", what, maxSecretBytes)
	}
	data = bytes.TrimRight(data, "\r\n")
	if len(data) == 0 {
		return nil, fail(exitWrongKey, "%s: the passphrase is empty", what)
	}
	return &secret{passphrase: string(data)}, nil
}

func (a *app) commandPassphrase(ctx context.Context, command string) (*secret, error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.Stderr = &lineWriter{app: a}
	if terminal(a.stdin) {
		c.Stdin = a.stdin
	}
	out, err := c.Output()
	if err != nil {
		return nil, fail(exitWrongKey, "password command: %w", err).withHint("run it by itself to see what is wrong with it")
	}
	return readPassphrase(bytes.NewReader(out), "password command")
}

func readIdentity(name string) (*secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fail(exitWrongKey, "identity file: %w", err).withHint("check --identity-file or SNAP_IDENTITY_FILE")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return nil, fail(exitWrongKey, "identity file: %w", err)
	}
	return &secret{identity: data, file: name}, nil
}

// whereFrom says what else gives a secret that nobody can be asked for, by the prefix of its flags.
var whereFrom = map[string]string{
	"":         "use --password-file, --password-command, --identity-file, or SNAP_PASSWORD_FILE and the like",
	fromPrefix: "use --from-password-file, --from-password-command, --from-identity-file, or SNAP_FROM_PASSWORD_FILE and the like",
	newPrefix:  "use --new-password-file, --new-password-command, or --recipient",
}

// ask lets a person type a passphrase, twice if it is a new one. prefix is that of the flags that give it otherwise.
func (a *app) ask(prompt, prefix string, twice bool) (*secret, error) {
	if !terminal(a.stdin) {
		return nil, fail(exitWrongKey, "no passphrase or key given").withHint(whereFrom[prefix])
	}
	first, err := a.readHidden(prompt)
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, fail(exitWrongKey, "the passphrase is empty")
	}
	if twice {
		second, err := a.readHidden("once more: ")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(first, second) {
			return nil, fail(exitWrongKey, "the passphrases differ")
		}
	}
	return &secret{passphrase: string(first)}, nil
}

func (a *app) readHidden(prompt string) ([]byte, error) {
	f, ok := a.stdin.(*os.File)
	if !ok {
		return nil, errors.New("standard input is no terminal")
	}
	io.WriteString(a.stderr, prompt)
	line, err := xterm.ReadPassword(int(f.Fd()))
	io.WriteString(a.stderr, "\n")
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return line, nil
}

// credential returns what opens a repository.
func (a *app) credential(s *secret) (*repo.Credential, error) {
	if s.identity == nil {
		return repo.Passphrase(s.passphrase)
	}
	if isSSHKey(s.identity) {
		return repo.SSHKey(s.identity, func() ([]byte, error) {
			typed, err := a.ask("passphrase of "+term.Name(s.file)+": ", "", false)
			if err != nil {
				return nil, err
			}
			return []byte(typed.passphrase), nil
		})
	}
	return repo.AgeIdentities(s.identity)
}

func isSSHKey(file []byte) bool {
	return strings.HasPrefix(strings.TrimSpace(string(file)), "-----BEGIN")
}

// asksNobody reports whether the environment or a flag gives the passphrase or key of the repository, so that no person is asked for it.
func (a *app) asksNobody() bool {
	s := &a.global.secret
	given := s.passwordFile != "" || s.passwordCommand != "" || s.passwordFD >= 0 || s.identity != ""
	for _, suffix := range []string{"PASSWORD_FD", "PASSWORD_COMMAND", "PASSWORD_FILE", "IDENTITY_FILE", "PASSWORD"} {
		given = given || a.getenv(s.variable+suffix) != ""
	}
	return given
}
