package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// maxTries is how many slots Open tries at most.
const maxTries = 64

// Opened is what Open found.
type Opened struct {
	Secrets *Secrets
	Slot    *Slot   // the slot that opened
	Skipped []error // why slots that were looked at could not be used: unread, damaged, newer, of another repository
}

// Open opens the first of the slots that credential opens, and with a credential
// other than a passphrase or plugin makes sure that the others it opens agree; the error is
// ErrConflict if not. Slots that cannot be used do not matter if another opens.
//
// If none does, the error wraps the first of these that applies: what a plugin or the
// passphrase of a key file failed with; ErrConfigSwapped; ErrWrongPassphrase, if slots of
// the credential's kind were tried; the error of a file that could not be read;
// ErrDamagedSlot; ErrNewer; ErrNoSlot.
func Open(ctx context.Context, config *Config, files []File, credential *Credential) (*Opened, error) {
	if credential == nil || len(credential.identities) == 0 {
		return nil, errors.New("no credential")
	}
	o := opening{config: config, credential: credential}
	for _, s := range o.candidates(files) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.tries++; o.tries > maxTries {
			o.skipped = append(o.skipped, fmt.Errorf("only %d key slots were tried", maxTries))
			break
		}
		done, err := o.try(s)
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
	}
	if o.secrets == nil {
		return nil, o.verdict()
	}
	return &Opened{Secrets: o.secrets, Slot: o.slot, Skipped: o.skipped}, nil
}

// opening is the state of Open.
type opening struct {
	config     *Config
	credential *Credential
	tries      int
	wrong      bool // a slot of the kind did not open
	secrets    *Secrets
	slot       *Slot
	external   error
	unread     error // a slot that could not be read
	skipped    []error
}

// candidates returns the slots of the credential's type, those that name its public
// key first, else by name.
func (o *opening) candidates(files []File) []*Slot {
	var slots []*Slot
	for _, f := range files {
		s, err := ParseSlot(f)
		if err != nil {
			o.skipped = append(o.skipped, err)
			if f.Err != nil {
				o.unread = err
			}
		} else if s.Type == o.credential.typ {
			slots = append(slots, s)
		}
	}
	rank := func(s *Slot) int {
		if o.credential.ownsPublic(s.Recipient) {
			return 0
		}
		return 1
	}
	slices.SortFunc(slots, func(a, b *Slot) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Name, b.Name))
	})
	return slots
}

// try opens s. Done means that no other slot need be tried.
func (o *opening) try(s *Slot) (done bool, err error) {
	secrets, err := s.open(o.config, o.credential)
	switch {
	case err == nil && o.secrets == nil:
		o.secrets, o.slot = secrets, s
		return o.credential.costly(), nil
	case err == nil && o.secrets.Fingerprint() != secrets.Fingerprint():
		return true, fmt.Errorf("%w: %s and %s", ErrConflict, o.slot.Name, s.Name)
	case err == nil:
		if o.secrets.Role() == RoleWriter && secrets.Role() == RoleFull {
			o.secrets, o.slot = secrets, s
		}
		return false, nil
	case errors.Is(err, ErrWrongPassphrase):
		o.wrong = true
	case errors.Is(err, ErrDamagedSlot), errors.Is(err, ErrConfigSwapped), errors.Is(err, ErrNewer):
		o.skipped = append(o.skipped, fmt.Errorf("%s: %w", s.Name, err))
	default:
		o.external = fmt.Errorf("%s: %w", s.Name, err)
	}
	return false, nil
}

// costly reports whether each try takes seconds or a person.
func (c *Credential) costly() bool {
	return c.typ == TypePassphrase ||
		slices.ContainsFunc(c.identities, func(id *identity) bool {
			_, ssh := id.Identity.(*lockedSSH) // asks once
			return id.external && !ssh
		})
}

// verdict returns why nothing opened.
func (o *opening) verdict() error {
	if o.external != nil {
		return o.external
	}
	if err := o.firstSkipped(ErrConfigSwapped); err != nil {
		return err
	}
	if o.wrong {
		if len(o.skipped) > 0 { // named, without making the error one of damage
			return fmt.Errorf("%w; also %v", ErrWrongPassphrase, o.skipped[0])
		}
		return ErrWrongPassphrase
	}
	if o.unread != nil {
		return o.unread
	}
	for _, kind := range []error{ErrDamagedSlot, ErrNewer} {
		if err := o.firstSkipped(kind); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: none for %s", ErrNoSlot, o.credential.typ)
}

func (o *opening) firstSkipped(kind error) error {
	for _, err := range o.skipped {
		if errors.Is(err, kind) {
			return err
		}
	}
	return nil
}
