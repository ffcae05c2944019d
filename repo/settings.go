package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/pack"
)

const (
	settingsVersion = 1
	maxPolicies     = 10_000
	settingsRounds  = 5 // how often a change is made anew because others made one
	leastPackSize   = 1 << 20
	mostPackSize    = 128 << 20
	maxSequence     = 99_999_999
)

// ErrSettingsContended says that settings were not changed because others kept changing them.
var ErrSettingsContended = errors.New("the settings are being changed by others: run it again")

// Settings are what holds for everybody who works with the repository (docs/format.md section 10).
type Settings struct {
	Version     int    `json:"version"`
	Sequence    uint64 `json:"sequence"`              // 0 if nothing was ever set
	Compression string `json:"compression,omitempty"` // as in Options; empty means default
	PackSize    int    `json:"pack_size,omitempty"`   // as in Options; 0 means default
	// ObjectLock says how files are locked in a store that can do so; nil means not.
	ObjectLock *ObjectLock `json:"object_lock,omitempty"`
	// Policies say what to keep of each source.
	Policies map[SourceID]StoredPolicy `json:"policies,omitempty"`
}

// SourceID names the history that a snapshot belongs to.
type SourceID = snapshot.SourceID

// StoredPolicy is the policy of a source.
type StoredPolicy struct {
	Name snapshot.Bytes `json:"name,omitempty"` // of the source, for people
	Keep Policy         `json:"keep"`
}

// Settings returns the settings that hold now; without any, those that hold by default.
func (r *Repo) Settings(ctx context.Context) (*Settings, error) { return r.settings(ctx, r.store) }

func (r *Repo) settings(ctx context.Context, from lister) (*Settings, error) {
	names, err := r.settingsNames(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	s, err := r.lastSettings(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	return s, nil
}

// settingsNames returns the names of all settings, without the folder, the one that holds last.
func (r *Repo) settingsNames(ctx context.Context, from lister) ([]string, error) {
	var names []string
	err := from.List(ctx, settingsPrefix, func(name string, _ int64, _ time.Time) error {
		name = strings.TrimPrefix(name, settingsPrefix)
		if _, ok := parseSettingsName(name); ok {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// parseSettingsName returns the sequence in a name without the folder.
func parseSettingsName(name string) (sequence uint64, ok bool) {
	before, after, found := strings.Cut(name, "-")
	if !found || len(before) != 8 || len(after) != 8 || strings.Trim(before, "0123456789") != "" || strings.Trim(after, "0123456789abcdef") != "" {
		return 0, false
	}
	sequence, err := strconv.ParseUint(before, 10, 64)
	return sequence, err == nil && sequence > 0
}

// lastSettings loads what the last of the names holds. One that is damaged is an error: an older one may keep less.
func (r *Repo) lastSettings(ctx context.Context, names []string) (*Settings, error) {
	if len(names) == 0 {
		return &Settings{Version: settingsVersion, Policies: map[SourceID]StoredPolicy{}}, nil
	}
	name := names[len(names)-1]
	s, err := r.loadSettings(ctx, r.store, name)
	if err == nil || ctx.Err() != nil {
		return s, err
	}
	if second, copyErr := r.loadSettings(ctx, copies{r.store}, name); copyErr == nil {
		return second, nil
	}
	return nil, err
}

func (r *Repo) loadSettings(ctx context.Context, store sealed.Store, name string) (*Settings, error) {
	full := settingsPrefix + name
	file, err := sealed.ReadFile(ctx, store, full, int64(sealed.Settings.Limit)+1024)
	if err != nil {
		return nil, err
	}
	s, err := r.openSettings(full, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", full, err)
	}
	return s, nil
}

// openSettings opens the file of settings that stands under the name full.
func (r *Repo) openSettings(full string, file []byte) (*Settings, error) {
	name := strings.TrimPrefix(full, settingsPrefix)
	if pack.SumID(file).String()[:8] != name[9:] {
		return nil, fmt.Errorf("%w: its bytes do not match its name", ErrDamaged)
	}
	body, err := r.records.OpenAny(sealed.Settings, file)
	if err != nil {
		return nil, err
	}
	s, err := decodeSettings(body)
	if err != nil {
		return nil, err
	}
	if sequence, _ := parseSettingsName(name); sequence != s.Sequence {
		return nil, fmt.Errorf("%w: it says sequence %d", ErrDamaged, s.Sequence)
	}
	return s, nil
}

// decodeSettings parses the JSON of settings and checks their limits.
func decodeSettings(body []byte) (*Settings, error) {
	s := &Settings{}
	if err := decodeRecord("settings", body, s, settingsVersion); err != nil {
		return nil, err
	}
	if s.Policies == nil {
		s.Policies = map[SourceID]StoredPolicy{}
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("settings: %w: %w", ErrDamaged, err)
	}
	return s, nil
}

// checkPackSize returns an error if packs cannot be ended at n bytes; 0 stands for the default.
func checkPackSize(n int) error {
	if n != 0 && (n < leastPackSize || n > mostPackSize) {
		return fmt.Errorf("pack size %d is outside %d to %d", n, leastPackSize, mostPackSize)
	}
	return nil
}

func (s *Settings) validate() error {
	if _, err := compress.ParseLevel(s.Compression); err != nil {
		return err
	}
	if err := checkPackSize(s.PackSize); err != nil {
		return err
	}
	if err := s.ObjectLock.validate(); err != nil {
		return err
	}
	if len(s.Policies) > maxPolicies {
		return fmt.Errorf("more than %d policies", maxPolicies)
	}
	for id, p := range s.Policies {
		if err := p.Keep.Validate(); err != nil {
			return fmt.Errorf("policy of source %s: %w", id, err)
		}
	}
	return nil
}

// UpdateSettings changes the settings that hold, and returns those that hold then. If others change them at the same
// time change is called again, with what they made.
func (r *Repo) UpdateSettings(ctx context.Context, change func(*Settings) error) (*Settings, error) {
	names, err := r.settingsNames(ctx, r.store)
	if err != nil {
		return nil, fmt.Errorf("change settings: %w", err)
	}
	for range settingsRounds {
		s, err := r.lastSettings(ctx, names)
		if err == nil {
			err = change(s)
		}
		if err != nil {
			return nil, fmt.Errorf("change settings: %w", err)
		}
		s.Version, s.Sequence = settingsVersion, s.Sequence+1
		name, err := r.saveSettings(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("change settings: %w", err)
		}
		// Of two who write at once at least one sees the other, and makes its change on top of that.
		after, err := r.settingsNames(ctx, r.store)
		if err != nil {
			return nil, fmt.Errorf("change settings: %w", err)
		}
		names = slices.DeleteFunc(after, func(other string) bool { return other == name })
		if len(names) == 0 || names[len(names)-1][:8] < name[:8] {
			return s, nil
		}
	}
	return nil, ErrSettingsContended
}

// saveSettings stores settings and returns the name of the file, without the folder.
func (r *Repo) saveSettings(ctx context.Context, s *Settings) (string, error) {
	if err := s.validate(); err != nil {
		return "", err
	}
	if s.Sequence > maxSequence {
		return "", fmt.Errorf("no sequence above %d", maxSequence)
	}
	body, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	id, file, err := r.records.Seal(sealed.Settings, body)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%08d-%s", s.Sequence, id.String()[:8])
	err = r.store.Create(ctx, settingsPrefix+name, bytes.NewReader(file), int64(len(file)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("store settings: %w", err)
	}
	return name, nil
}
