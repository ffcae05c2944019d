package keyring

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/snapkeep/snap/pack"
)

// ConfigName is the name of the Config in the store.
const ConfigName = "snap.json"

const configFormat = "snap"

// Config says which repository this is. It is written once.
type Config struct {
	ID       [16]byte  // the repository id
	Required []string  // features that a program must know to read the repository
	Created  time.Time // whole seconds

	data []byte // as it is stored
}

// configFile is the JSON of section 3.
type configFile struct {
	Format   string   `json:"format"`
	Version  int      `json:"version"`
	ID       string   `json:"id"`
	Required []string `json:"required"`
	Created  string   `json:"created"`
}

// NewConfig returns the Config of a new repository, whose id are the next 16 bytes of random.
func NewConfig(random io.Reader, created time.Time) (*Config, error) {
	c := &Config{Created: created.UTC().Truncate(time.Second), Required: []string{}}
	if _, err := io.ReadFull(random, c.ID[:]); err != nil {
		return nil, fmt.Errorf("random source: %w", err)
	}
	data, err := json.Marshal(configFile{
		Format: configFormat, Version: 1, ID: hex.EncodeToString(c.ID[:]),
		Required: c.Required, Created: c.Created.Format(time.RFC3339),
	})
	if err != nil {
		return nil, err
	}
	c.data = append(data, '\n')
	return c, nil
}

// ParseConfig parses the content of snap.json. The error wraps ErrNewer, with the
// name of what is not known, or ErrCorrupt.
func ParseConfig(data []byte) (*Config, error) {
	c, err := parseConfig(data)
	if err != nil && !errors.Is(err, ErrNewer) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigName, err)
	}
	return c, nil
}

// knownFeatures are the features that this program knows. Version 1 defines none.
var knownFeatures = map[string]bool{}

func parseConfig(data []byte) (*Config, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	if f := o.text("format"); o.err == nil && f != configFormat {
		return nil, fmt.Errorf("format %.40q", f)
	}
	if err := o.checkVersion("a repository"); err != nil {
		return nil, err
	}
	c := &Config{Required: o.texts("required")}
	if o.err != nil {
		return nil, o.err
	}
	for _, feature := range c.Required {
		if !knownFeatures[feature] {
			return nil, fmt.Errorf("%w: it needs the feature %.80q", ErrNewer, feature)
		}
	}
	o.hex("id", c.ID[:])
	c.Created = o.time("created")
	c.data = append([]byte(nil), data...)
	return c, o.err
}

// Bytes returns the file's content, which the caller must not change.
func (c *Config) Bytes() []byte { return c.data }

// Sum returns the hash of the file's content, which every slot carries.
func (c *Config) Sum() [32]byte { return pack.SumID(c.data) }
