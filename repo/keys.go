package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
)

// Credential opens a repository: a passphrase, age identities or an SSH private key. It serves one goroutine at a time.
type Credential = keyring.Credential

// Recipient is what a key slot is made for: a passphrase or a public key.
type Recipient = keyring.Recipient

// Role says what a key slot allows.
type Role = keyring.Role

// The roles. A writer backs up, lists, compares, forgets and prunes, and cannot read
// file data.
const (
	RoleFull   = keyring.RoleFull
	RoleWriter = keyring.RoleWriter
)

// Passphrase returns the credential of a passphrase.
func Passphrase(passphrase string) (*Credential, error) { return keyring.Passphrase(passphrase) }

// AgeIdentities returns the credential of a file of age identities.
func AgeIdentities(file []byte) (*Credential, error) { return keyring.AgeIdentities(file, nil) }

// SSHKey returns the credential of an SSH private key file. passphrase is asked if the file
// is encrypted.
func SSHKey(file []byte, passphrase func() ([]byte, error)) (*Credential, error) {
	return keyring.SSHKey(file, passphrase)
}

// ForPassphrase returns the recipient of a passphrase.
func ForPassphrase(passphrase string) (*Recipient, error) {
	return keyring.ForPassphrase(passphrase, keyring.PassphraseOptions{})
}

// ForAge returns the recipient of an age public key.
func ForAge(public string) (*Recipient, error) { return keyring.ForAge(public, nil) }

// ForSSH returns the recipient of an SSH public key, a line of a .pub file.
func ForSSH(line string) (*Recipient, error) { return keyring.ForSSH(line) }

// Slot describes a key slot.
type Slot struct {
	ID        string // 32 hex digits
	Type      string // passphrase, age or ssh
	Role      Role
	Label     string
	Recipient string // public key, for age and ssh
	Created   time.Time
	Current   bool  // the slot that opened this Repo
	Err       error // why the slot cannot be used, if it cannot
}

// Slots lists the key slots.
func (r *Repo) Slots(ctx context.Context) ([]Slot, error) {
	files, err := keyring.LoadSlots(ctx, r.store)
	if err != nil {
		return nil, fmt.Errorf("list key slots: %w", err)
	}
	var slots []Slot
	for _, f := range files {
		slots = append(slots, r.describeSlot(f))
	}
	return slots, nil
}

// AddSlot adds a key slot for the recipient and returns its id. A full slot can be made only
// from a full slot.
func (r *Repo) AddSlot(ctx context.Context, to *Recipient, role Role, label string) (string, error) {
	slot, err := keyring.AddSlot(ctx, r.store, r.config, r.secrets, to, keyring.SlotOptions{Role: role, Label: label, Created: r.now()})
	if err != nil {
		return "", fmt.Errorf("add key slot: %w", err)
	}
	return slotID(slot.Name), nil
}

func slotID(name string) string { return strings.TrimPrefix(name, "keys/") }

// describeSlot says what the file of a slot tells without opening it.
func (r *Repo) describeSlot(f keyring.File) Slot {
	out := Slot{ID: slotID(f.Name), Current: f.Name == r.slotName}
	slot, err := keyring.ParseSlot(f)
	if err != nil {
		out.Err = err
		return out
	}
	out.Type, out.Role, out.Label = string(slot.Type), slot.Role, slot.Label
	out.Recipient, out.Created = slot.Recipient, slot.Created
	return out
}

// RemoveSlot removes the key slot whose id begins with id. The error wraps ErrLastFullSlot if
// afterwards nobody could read file data, unless force is set, and ErrMayNotRemove if the credentials of a store elsewhere do not allow it.
func (r *Repo) RemoveSlot(ctx context.Context, id string, force bool) error {
	slots, err := r.Slots(ctx)
	if err != nil {
		return err
	}
	var match []string
	for _, s := range slots {
		if len(id) > 0 && len(s.ID) >= len(id) && s.ID[:len(id)] == id {
			match = append(match, s.ID)
		}
	}
	if len(match) != 1 {
		return fmt.Errorf("key slot %q: %w", id, errors.New("names no single key slot"))
	}
	err = keyring.RemoveSlot(ctx, r.store, "keys/"+match[0], force)
	if isRemote(r.store) {
		err = noRemoval(err)
	}
	return err
}
