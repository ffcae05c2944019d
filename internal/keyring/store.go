package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

// Store is the part of a repository's store that slots need. The rules are those of
// the store's own interface.
type Store interface {
	Create(ctx context.Context, name string, data io.Reader, size int64) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error)
	List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error
	Remove(ctx context.Context, name string) error
}

// maxSlots is how many slots are read at most.
const maxSlots = 1024

// LoadConfig reads snap.json. The error wraps fs.ErrNotExist if there is none, or is
// that of ParseConfig.
func LoadConfig(ctx context.Context, st Store) (*Config, error) {
	data, err := readFile(ctx, st, ConfigName)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ConfigName, err)
	}
	return ParseConfig(data)
}

// SaveConfig writes snap.json. The error wraps fs.ErrExist if there is one.
func SaveConfig(ctx context.Context, st Store, config *Config) error {
	return writeFile(ctx, st, File{Name: ConfigName, Data: config.Bytes()})
}

// LoadSlots reads the files of all slots, in the order of their names. Damaged ones, and
// those that cannot be read, are among them: one bad slot must not keep the others from opening.
func LoadSlots(ctx context.Context, st Store) ([]File, error) {
	var names []string
	err := st.List(ctx, SlotPrefix, func(name string, _ int64, _ time.Time) error {
		if IsSlotName(name) {
			names = append(names, name)
		}
		if len(names) > maxSlots {
			return fmt.Errorf("more than %d key slots", maxSlots)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list key slots: %w", err)
	}
	slices.Sort(names)
	files := make([]File, 0, len(names))
	for _, name := range names {
		data, err := readFile(ctx, st, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) { // removed since it was listed
			continue
		}
		files = append(files, File{Name: name, Data: data, Err: err})
	}
	return files, nil
}

// AddSlot creates a slot as CreateSlot does and writes it.
func AddSlot(ctx context.Context, st Store, config *Config, secrets *Secrets, recipient *Recipient, options SlotOptions) (*Slot, error) {
	f, err := CreateSlot(config, secrets, recipient, options)
	if err != nil {
		return nil, err
	}
	s, err := ParseSlot(f)
	if err != nil {
		return nil, fmt.Errorf("keyring: internal error: new slot does not parse: %w", err)
	}
	return s, writeFile(ctx, st, f)
}

// OpenStore loads the slots and opens one as Open does.
func OpenStore(ctx context.Context, st Store, config *Config, credential *Credential) (*Opened, error) {
	files, err := LoadSlots(ctx, st)
	if err != nil {
		return nil, err
	}
	return Open(ctx, config, files, credential)
}

// RemoveSlot removes the slot of that name. Without force the error is
// ErrLastFullSlot if no undamaged full slot would stay, unless the slot is a writer's and others stay.
func RemoveSlot(ctx context.Context, st Store, name string, force bool) error {
	if !IsSlotName(name) {
		return fmt.Errorf("%q is not the name of a key slot", name)
	}
	if !force {
		files, err := LoadSlots(ctx, st)
		if err != nil {
			return err
		}
		if err := CheckRemoval(files, name); err != nil {
			return err
		}
	}
	if err := st.Remove(ctx, name); err != nil {
		return fmt.Errorf("remove key slot %s: %w", name, err)
	}
	return nil
}

// CheckRemoval returns ErrLastFullSlot if the slot of that name must not be removed
// from files without force. If one could not be read, the error wraps that too.
func CheckRemoval(files []File, name string) error {
	others, writer := 0, false
	var unread error
	for _, f := range files {
		s, err := ParseSlot(f)
		switch {
		case err != nil && f.Err != nil:
			unread = err
		case err != nil:
		case f.Name == name:
			writer = s.Role == RoleWriter
		case s.Role == RoleFull:
			return nil
		default:
			others++
		}
	}
	if writer && others > 0 {
		return nil
	}
	if unread != nil {
		return fmt.Errorf("%s: %w, as far as can be read: %w", name, ErrLastFullSlot, unread)
	}
	return fmt.Errorf("%s: %w", name, ErrLastFullSlot)
}

// readFile reads a small file. One byte over the limit tells that there are more.
func readFile(ctx context.Context, st Store, name string) ([]byte, error) {
	p := make([]byte, maxFileSize+1)
	n, err := st.ReadAt(ctx, name, p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.Clone(p[:n]), nil
}

func writeFile(ctx context.Context, st Store, f File) error {
	if err := st.Create(ctx, f.Name, bytes.NewReader(f.Data), int64(len(f.Data))); err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	return nil
}
