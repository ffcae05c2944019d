package keyring

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// Recipient is what a slot is made for.
type Recipient struct {
	typ    SlotType
	public string
	age    age.Recipient
}

// Costs of the key derivation of a passphrase: log2 of scrypt's N, with r = 8, p = 1.
// Memory is 1 KiB · 2^cost.
const (
	DefaultCost = 15 // 32 MiB
	MinCost     = 15
	MaxCost     = maxCost // 1 GiB
	WeakestCost = 10      // with PassphraseOptions.AllowWeak
)

// PassphraseOptions say how a passphrase is stretched.
type PassphraseOptions struct {
	Cost      int  // MinCost to MaxCost; 0 means DefaultCost
	AllowWeak bool // lets Cost go down to WeakestCost; for tests only
}

// ForPassphrase returns the Recipient of slots that the passphrase opens.
func ForPassphrase(passphrase string, options PassphraseOptions) (*Recipient, error) {
	cost, least := options.Cost, MinCost
	if cost == 0 {
		cost = DefaultCost
	}
	if options.AllowWeak {
		least = WeakestCost
	}
	if cost < least || cost > MaxCost {
		return nil, fmt.Errorf("cost %d of the passphrase is outside %d to %d", cost, least, MaxCost)
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: empty passphrase", ErrKeyFile)
	}
	r.SetWorkFactor(cost)
	return &Recipient{typ: TypePassphrase, age: r}, nil
}

// ForAge returns the Recipient of slots that an age identity opens, from the public
// key: age1… (X25519), age1pq1… (post-quantum hybrid), or age1<plugin>1…. The program
// of a plugin runs when a slot is made; ui talks to the user for it and may be nil.
func ForAge(public string, ui *plugin.ClientUI) (*Recipient, error) {
	public = strings.TrimSpace(public)
	r := &Recipient{typ: TypeAge, public: public}
	var err error
	if strings.HasPrefix(public, "age1pq1") {
		r.age, err = age.ParseHybridRecipient(public)
	} else if r.age, err = age.ParseX25519Recipient(public); err != nil {
		r.age, err = plugin.NewRecipient(public, orSilent(ui))
	}
	if err != nil { // the error of age quotes its input, which may be a secret key
		return nil, fmt.Errorf("%w: not an age recipient (age1…)", ErrKeyFile)
	}
	return r, nil
}

// ForSSH returns the Recipient of slots that an SSH private key opens, from a line as
// it stands in a .pub or authorized_keys file. The key is ssh-ed25519 or ssh-rsa.
func ForSSH(line string) (*Recipient, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("%w: not an SSH public key", ErrKeyFile)
	}
	public, err := newSSHPublic(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return &Recipient{typ: TypeSSH, public: authorizedLine(key), age: public}, nil
}

// authorizedLine returns type and key, without a comment.
func authorizedLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// orSilent returns ui, or one that answers every question with an error.
func orSilent(ui *plugin.ClientUI) *plugin.ClientUI {
	if ui != nil {
		return ui
	}
	errSilent := errors.New("nobody to ask")
	return &plugin.ClientUI{
		DisplayMessage: func(string, string) error { return nil },
		RequestValue:   func(string, string, bool) (string, error) { return "", errSilent },
		Confirm:        func(string, string, string, string) (bool, error) { return false, errSilent },
		WaitTimer:      func(string) {},
	}
}
