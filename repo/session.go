package repo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/nss"
	"github.com/snapkeep/snap/internal/sealed"
)

const (
	sessionVersion = 1
	sessionRenewal = 10 * time.Minute // between two files of a run
	sessionLife    = time.Hour        // after its last file a run is dead
	leaveTimeout   = 10 * time.Second // for removing the last file
)

// sessionRecord says who writes (docs/format.md section 11.4).
type sessionRecord struct {
	Version int       `json:"version"`
	What    string    `json:"what"`
	Host    string    `json:"host,omitempty"`
	User    string    `json:"user,omitempty"`
	PID     int       `json:"pid,omitempty"`
	Place   string    `json:"place,omitempty"` // of the machine's run, where process ids mean something
	Time    time.Time `json:"time"`

	began time.Time // at the latest, by the clock of the storage or of its machine
}

// String tells people who it is.
func (s *sessionRecord) String() string {
	return fmt.Sprintf("%s by %s@%s, process %d, since %s", s.What, s.User, s.Host, s.PID, s.Time.Local().Format(time.DateTime))
}

// session is this run's own entry among those who write. It is renewed until leave.
type session struct {
	r    *Repo
	run  string
	body sessionRecord
	stop chan struct{}
	done sync.WaitGroup

	ready chan struct{} // closed when the first file was made, or could not be
	err   error         // why it could not
	local time.Time     // when it was stored, by this machine's clock, with its monotonic part
	sign  atomic.Int64  // seconds when the storage last took a file, by this machine's clock; 0 for never
	since atomic.Int64  // seconds when it took the first of those that came in time

	asked sync.Once // makes what follows
	at    time.Time // the same moment by the clock of the storage
	atErr error
}

// enter notes that this run writes. It does not wait: sessions make nothing safe, they make a prune without
// grace wait for others. The caller calls leave.
func (r *Repo) enter(ctx context.Context, what string) *session {
	if r.unlocked != nil {
		r.log.Warn("files are stored without the lock that the settings ask for", "error", r.unlocked)
	}
	s := &session{r: r, stop: make(chan struct{}), ready: make(chan struct{})}
	var random [16]byte
	_, s.err = rand.Read(random[:])
	s.run = hex.EncodeToString(random[:])
	s.body = sessionRecord{Version: sessionVersion, What: what, PID: os.Getpid(), Place: processPlace(), Time: r.now().UTC()}
	s.body.Host, _ = os.Hostname()
	s.body.User = nss.Current()
	s.done.Go(func() { s.renew(context.WithoutCancel(ctx)) })
	return s
}

// shareTime is how long backups that begin join the session of one before: a prune spares packs that are younger than the session.
const shareTime = time.Hour

// sharedSession is the session that backups of a Repo have in common which run side by side.
type sharedSession struct {
	own   *session
	began time.Time
	users int // guarded by Repo.runningMu
}

// enterBackup notes that a backup runs, as enter does: in the session of those that run already, if there are any. The caller calls leave.
func (r *Repo) enterBackup(ctx context.Context) (leave func()) {
	r.runningMu.Lock()
	defer r.runningMu.Unlock()
	s := r.running
	if now := r.now(); s == nil || s.users == 0 || now.Sub(s.began) >= shareTime {
		s = &sharedSession{own: r.enter(ctx, "backup"), began: now}
		r.running = s
	}
	s.users++
	return func() {
		r.runningMu.Lock()
		s.users--
		last := s.users == 0
		r.runningMu.Unlock()
		if last {
			s.own.leave()
		}
	}
}

// renew makes the files of the session until it ends, and removes the last.
func (s *session) renew(ctx context.Context) {
	timer := time.NewTicker(sessionRenewal)
	defer timer.Stop()
	if s.err == nil {
		s.err = s.create(ctx, 0)
	}
	s.local = time.Now()
	if s.err != nil {
		s.r.log.Warn("this run cannot be noted as a session", "error", s.err)
	}
	close(s.ready)
	last := 0
	for s.err == nil {
		select {
		case <-timer.C:
			if s.create(ctx, last+1) == nil {
				s.remove(ctx, last)
				last++
			}
		case <-s.stop:
			s.remove(ctx, last)
			return
		}
	}
}

func (s *session) name(number int) string {
	return fmt.Sprintf("%s%s-%06d", sessionPrefix, s.run, number)
}

func (s *session) create(ctx context.Context, number int) error {
	body, err := json.Marshal(&s.body)
	if err != nil {
		return err
	}
	_, file, err := s.r.records.Seal(sealed.Session, body)
	if err != nil {
		return err
	}
	began := time.Now().Round(0)
	if err = s.r.show(ctx, s.name(number), file); err == nil {
		s.signed(began, time.Now().Round(0))
	}
	return err
}

// signed notes that the storage has taken a file of the session, which began to be stored at a time.
func (s *session) signed(began, ended time.Time) {
	if began.Unix()-s.sign.Load() >= int64(2*sessionRenewal/time.Second) { // the first, or others may have held the run for dead
		s.since.Store(began.Unix())
		if ended.Sub(began).Abs() >= time.Minute {
			s.since.Store(ended.Unix())
		}
	}
	s.sign.Store(began.Unix())
}

// isNoted reports whether the storage has had young files of a session of the backups that run since a time by this machine's clock.
func (r *Repo) isNoted(from time.Time) bool {
	r.runningMu.Lock()
	s := r.running
	r.runningMu.Unlock()
	if s == nil {
		return false
	}
	last := time.Since(time.Unix(s.own.sign.Load(), 0))
	return last > -sessionRenewal && last < 2*sessionRenewal && s.own.since.Load() <= from.Unix()
}

func (s *session) remove(ctx context.Context, number int) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	err := s.r.discard(ctx, s.name(number))
	if errors.Is(err, fs.ErrPermission) {
		return // a writer that may not remove leaves it to the next prune
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.r.log.Warn("the session cannot be ended", "error", err)
	}
}

// leave ends the session and waits until its file is gone.
func (s *session) leave() {
	close(s.stop)
	s.done.Wait()
}

// storageNow returns the time by the clock of the storage. The first call comes soon after the session began: it looks at its first file.
func (s *session) storageNow(ctx context.Context) (time.Time, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
	if s.err != nil {
		return time.Time{}, s.err
	}
	s.asked.Do(func() { s.at, s.atErr = s.r.storedAt(ctx, s.name(0)) })
	return s.at.Add(time.Since(s.local)), s.atErr
}

// storedAt returns when a file was stored, by the clock of the storage. That was a moment ago: the time of the latest answer will do, unless it is far from this
// machine's. What answers may be a proxy with a clock of its own, and not what stamps files.
func (r *Repo) storedAt(ctx context.Context, name string) (time.Time, error) {
	if clock, ok := able[storageClock](r.store); ok {
		if at := clock.StorageTime(); !at.IsZero() && at.Sub(r.now()).Abs() <= MaxClockSkew {
			return at, nil
		}
	}
	_, at, err := r.store.Stat(ctx, name)
	return at, err
}

// runs returns the runs of others that are alive. own is the session of this run; nil for none. Dead ones are removed unless keep is set.
func (r *Repo) runs(ctx context.Context, own *session, now time.Time, keep bool) ([]*sessionRecord, error) {
	return r.runsOf(ctx, r.store, own, now, keep)
}

// runsOf is runs by a listing.
func (r *Repo) runsOf(ctx context.Context, from lister, own *session, now time.Time, keep bool) ([]*sessionRecord, error) {
	type last struct {
		name   string
		number int
		time   time.Time
	}
	newest := map[string]last{}
	all := map[string][]string{}
	err := from.List(ctx, sessionPrefix, func(name string, _ int64, modTime time.Time) error {
		run, number, ok := parseSessionName(name[len(sessionPrefix):])
		if ok && (own == nil || run != own.run) {
			all[run] = append(all[run], name)
			if l := newest[run]; l.name == "" || modTime.After(l.time) {
				newest[run] = last{name, number, modTime}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	var alive []*sessionRecord
	for run, l := range newest {
		record := r.loadSession(ctx, l.name)
		if record == nil {
			continue
		}
		record.began = l.time.Add(-time.Duration(l.number+1) * sessionRenewal)
		if record.Time.Before(record.began) && !record.Time.IsZero() {
			record.began = record.Time
		}
		if now.Sub(l.time) < sessionLife && !record.gone() {
			alive = append(alive, record)
			continue
		}
		for _, name := range all[run] {
			if !keep {
				_ = r.drop(ctx, name) // somebody else may do so as well
			}
		}
	}
	return alive, ctx.Err()
}

// gone reports whether the process is known to have ended.
func (s *sessionRecord) gone() bool {
	place := processPlace()
	return place != "" && place == s.Place && !processAlive(s.PID)
}

// loadSession returns the session in a file; nil if it has ended. Of one that cannot be read nothing is known but that
// it is there.
func (r *Repo) loadSession(ctx context.Context, name string) *sessionRecord {
	unknown := &sessionRecord{What: "something", Host: "unknown", User: "somebody"}
	file, err := sealed.ReadFile(ctx, r.store, name, int64(sealed.Session.Limit)+1024)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unknown
	}
	body, err := r.records.OpenAny(sealed.Session, file)
	if err != nil {
		return unknown
	}
	s := &sessionRecord{}
	if decodeRecord("session", body, s, sessionVersion) != nil {
		return unknown
	}
	return s
}

// shower is a Store that can store a file without waiting until its name is durable.
type shower interface {
	Show(ctx context.Context, name string, data io.Reader, size int64) error
}

// show stores a file that tells others what goes on, and that may be gone after a crash of the machine with the storage: what goes on ends there, or,
// on another machine, finds out.
func (r *Repo) show(ctx context.Context, name string, file []byte) error {
	if s, ok := able[shower](r.store); ok {
		return s.Show(ctx, name, bytes.NewReader(file), int64(len(file)))
	}
	return r.store.Create(ctx, name, bytes.NewReader(file), int64(len(file)))
}

// dropper is a Store that can remove a file without waiting until that is durable.
type dropper interface {
	Drop(ctx context.Context, name string) error
}

// drop removes a file that may as well come back after a crash.
func (r *Repo) drop(ctx context.Context, name string) error { return dropFrom(ctx, r.store, name) }

func dropFrom(ctx context.Context, store Store, name string) error {
	if d, ok := able[dropper](store); ok {
		return d.Drop(ctx, name)
	}
	return store.Remove(ctx, name)
}

// deleter is a Store that can remove a file in one operation, which does not tell whether there was one.
type deleter interface {
	Delete(ctx context.Context, name string) error
}

// bulkDeleter is a Store that can remove many files in few operations.
type bulkDeleter interface {
	// DeleteAll removes files, and returns those that are gone. Those that were not there are among them.
	DeleteAll(ctx context.Context, names []string) (gone []string, err error)
}

// discardAll is discard for files, and returns those that it removed.
func (r *Repo) discardAll(ctx context.Context, names []string) (gone []string, err error) {
	_, protected := able[protector](r.store)
	if d, ok := able[bulkDeleter](r.store); ok && !protected && len(names) > 1 {
		return d.DeleteAll(ctx, names)
	}
	for _, name := range names {
		err := r.discard(ctx, name)
		if err == nil {
			gone = append(gone, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return gone, err
		}
	}
	return gone, nil
}

// discard removes a file that is there, as far as is known, and may as well come back after a crash. The error may be
// fs.ErrNotExist if it is not.
func (r *Repo) discard(ctx context.Context, name string) error {
	if _, protected := able[protector](r.store); protected {
		return r.drop(ctx, name)
	}
	if d, ok := able[deleter](r.store); ok {
		return d.Delete(ctx, name)
	}
	return r.drop(ctx, name)
}
