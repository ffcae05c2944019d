package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/jsonrecord"
	"github.com/snapkeep/snap/internal/sealed"
)

const logVersion = 1

// Log returns the log of deletions and repairs, oldest first. Entries that others name and that are
// gone are among them, marked as missing.
func (r *Repo) Log(ctx context.Context) ([]LogEntry, error) {
	names, err := r.logNames(ctx, r.store)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return r.readLog(ctx, names)
}

// readLog returns the entries of these names, which are in order and all that there are.
func (r *Repo) readLog(ctx context.Context, names []string) ([]LogEntry, error) {
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	var out []LogEntry
	for _, name := range names {
		e, err := r.loadLogEntry(ctx, name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			e = LogEntry{Err: err}
		}
		e.Name = name
		for _, p := range e.Previous {
			if !there[p] {
				there[p] = true
				out = append(out, LogEntry{Name: p, Missing: true, Err: fs.ErrNotExist})
			}
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b LogEntry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// logNames returns the names of all entries without the folder, in order.
func (r *Repo) logNames(ctx context.Context, from lister) ([]string, error) {
	var names []string
	err := from.List(ctx, logPrefix, func(name string, _ int64, _ time.Time) error {
		if kind, _ := classify(name); kind == fileLog {
			names = append(names, strings.TrimPrefix(name, logPrefix))
		}
		return nil
	})
	if err == nil {
		r.sortLog(names)
	}
	return names, err
}

// sortLog orders the names of all entries, and notes the last.
func (r *Repo) sortLog(names []string) {
	slices.Sort(names)
	if len(names) > 0 {
		r.heads.noteLog(names[len(names)-1])
	}
}

func (r *Repo) loadLogEntry(ctx context.Context, name string) (e LogEntry, err error) {
	_, id, _ := parseLogName(name)
	file, err := sealed.ReadFile(ctx, r.store, logPrefix+name, int64(sealed.Log.Limit)+1024)
	if err != nil {
		return e, err
	}
	body, err := r.records.Open(sealed.Log, id, file)
	if err != nil {
		return e, fmt.Errorf("log entry %s: %w", name, err)
	}
	return e, decodeRecord("log entry", body, &e, logVersion)
}

// decodeRecord parses the JSON of a record of this package, whose versions are 1 to known.
func decodeRecord(what string, body []byte, v any, known int) error {
	err := jsonrecord.Decode(body, v, known)
	switch {
	case errors.Is(err, jsonrecord.ErrNewer):
		return fmt.Errorf("%s: %w: %v", what, ErrNewer, err)
	case err != nil:
		return fmt.Errorf("%s: %w: %v", what, ErrDamaged, err)
	}
	return nil
}

// logFiles bounds how many names of files a log entry lists.
const logFiles = 10_000

// note appends an entry to the log.
func (r *Repo) note(ctx context.Context, e LogEntry) error { return r.noteBehind(ctx, r.store, e) }

// noteBehind appends an entry behind those that from shows.
func (r *Repo) noteBehind(ctx context.Context, from lister, e LogEntry) error {
	names, err := r.logNames(ctx, from)
	if err != nil {
		return fmt.Errorf("append to the log: %w", err)
	}
	number := uint64(0)
	if len(names) > 0 {
		number, _, _ = parseLogName(names[len(names)-1])
		head := names[len(names)-1][:11]
		for _, name := range names {
			if strings.HasPrefix(name, head) {
				e.Previous = append(e.Previous, name)
			}
		}
	}
	e.Version, e.Time = logVersion, r.now().UTC()
	e.Host, _ = os.Hostname()
	if len(e.Files) > logFiles {
		e.Files = append(e.Files[:logFiles:logFiles], fmt.Sprintf("and %d more", len(e.Files)-logFiles))
	}
	body, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	id, file, err := r.records.Seal(sealed.Log, body)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s%010d-%s", logPrefix, number+1, id)
	if err := r.store.Create(ctx, name, bytes.NewReader(file), int64(len(file))); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("append to the log: %w", err)
	}
	r.heads.noteLog(strings.TrimPrefix(name, logPrefix))
	return nil
}
