package repo

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

const pruneVersion = 1

// hexIDs are ids that stand in JSON as strings of hex digits.
type hexIDs []pack.ID

// MarshalJSON implements json.Marshaler.
func (ids hexIDs) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 2+len(ids)*67)
	out = append(out, '[')
	for i, id := range ids {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = hex.AppendEncode(out, id[:])
		out = append(out, '"')
	}
	return append(out, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (ids *hexIDs) UnmarshalJSON(data []byte) error {
	var words []string
	if err := json.Unmarshal(data, &words); err != nil {
		return err
	}
	*ids = make(hexIDs, len(words))
	for i, word := range words {
		id, err := pack.ParseID(word)
		if err != nil {
			return err
		}
		(*ids)[i] = id
	}
	return nil
}

// pruneRecord names packs that are condemned (docs/format.md section 11.2).
type pruneRecord struct {
	Version    int       `json:"version"`
	Time       time.Time `json:"time"`
	Session    string    `json:"session,omitempty"`
	Condemned  hexIDs    `json:"condemned"`
	Lost       hexIDs    `json:"lost,omitempty"`
	Copied     hexIDs    `json:"copied,omitempty"`
	Snapshots  hexIDs    `json:"snapshots,omitempty"`
	Superseded hexIDs    `json:"superseded,omitempty"`
	Cleared    hexIDs    `json:"cleared,omitempty"`

	id pack.ID
}

// maxCondemned bounds the packs of one record, so that it stays below the limit of the format.
const maxCondemned = 200_000

// regards reports whether the record was made in regard of the snapshot.
func (p *pruneRecord) regards(id pack.ID) bool {
	for _, s := range p.Snapshots {
		if s == id {
			return true
		}
	}
	return false
}

// savePruneRecord stores a record; its packs are condemned from then on.
func (r *Repo) savePruneRecord(ctx context.Context, p *pruneRecord) error {
	p.Version, p.Time = pruneVersion, r.now().UTC()
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if p.id, err = r.records.Save(ctx, sealed.Prune, body); err != nil {
		return fmt.Errorf("store prune record: %w", err)
	}
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	r.addPruneRecord(p)
	return nil
}

// addPruneRecord makes its packs void. The lock is held.
func (r *Repo) addPruneRecord(p *pruneRecord) {
	r.prunes[p.id] = p
	r.set.Condemn(p.Condemned...)
}

// syncPruneRecords brings in the prune records that are in the store now, and returns their names. The lock is held.
func (r *Repo) syncPruneRecords(ctx context.Context, from lister) error {
	ids, err := r.listIDs(ctx, from, sealed.Prune)
	if err != nil {
		return fmt.Errorf("list prune records: %w", err)
	}
	there := make(map[pack.ID]bool, len(ids))
	for _, id := range ids {
		there[id] = true
		if r.prunes[id] != nil {
			continue
		}
		p, err := r.loadPruneRecord(ctx, id)
		switch {
		case err == nil:
			r.addPruneRecord(p)
		case errors.Is(err, fs.ErrNotExist):
			delete(there, id)
		case IsDamage(err):
			// What it condemned can be told no more, by anybody. Its packs that are gone are
			// noticed as lost.
			r.log.Warn("a prune record is damaged", "record", id.String(), "error", err)
			delete(there, id)
		default:
			return fmt.Errorf("prune record %s: %w", short(id), err)
		}
	}
	r.pruneNames = there
	r.dropKept(sealed.Prune.Prefix, func(id pack.ID) bool { return there[id] })
	return nil
}

// loadPruneRecord loads a record that a listing shows.
func (r *Repo) loadPruneRecord(ctx context.Context, id pack.ID) (*pruneRecord, error) {
	body, err := r.nearRecords.Load(ctx, sealed.Prune, id)
	if err != nil {
		return nil, err
	}
	return decodePruneRecord(id, body)
}

// decodePruneRecord decodes the body of a record.
func decodePruneRecord(id pack.ID, body []byte) (*pruneRecord, error) {
	p := &pruneRecord{id: id}
	return p, decodeRecord("prune record", body, p, pruneVersion)
}

// pruneRecords returns the records that were in the store at the last sync.
func (r *Repo) pruneRecords() []*pruneRecord {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	out := make([]*pruneRecord, 0, len(r.pruneNames))
	for id := range r.pruneNames {
		out = append(out, r.prunes[id])
	}
	return out
}

// pruneRecord returns a record that was loaded.
func (r *Repo) pruneRecord(id pack.ID) *pruneRecord {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	return r.prunes[id]
}
