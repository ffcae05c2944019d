package repo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/snapkeep/snap/pack"
)

// A ledger is a file of entries of the same size. The first is the head; each of the others says what became of a pack:
//
//	32 bytes  name of the pack
//	 8 bytes  seconds since 1970, big endian
//	 1 byte   0 found damaged, 1 hashes compared, 2 file data opened as well
//	 3 bytes  zero
//	 4 bytes  CRC-32C of what stands before
//
// Entries are appended one at a time. One that is cut off or damaged is passed over: its pack is read again.
const (
	ledgerEntrySize = 48
	maxLedger       = 8 << 20 // entries
	ledgerSlack     = 4096    // entries that may be old without a file being written anew
)

var (
	ledgerHead = [ledgerEntrySize]byte(append([]byte("snap ledger of verified packs, version 1"), make([]byte, 8)...))
	crcTable   = crc32.MakeTable(crc32.Castagnoli)
)

// verdict is what reading a pack has shown.
type verdict byte

const (
	foundDamaged verdict = iota
	hashesMatch
	dataOpened
)

// lastRead says when a pack was verified last: its hashes, and with its file data opened.
type lastRead struct{ hashed, opened int64 }

func (l lastRead) at(opened bool) int64 {
	if opened {
		return l.opened
	}
	return l.hashed
}

// Ledger remembers which packs of a repository at one place were verified when. It is a file of this machine and no part of the
// repository: a copy of the repository must not seem to be verified because the original was. It is safe for
// concurrent use, and several programs may append to the same file.
type Ledger struct {
	path string

	mu      sync.Mutex // guards what follows
	reads   map[pack.ID]lastRead
	entries int      // in the file
	whole   bool     // the file has a head and ends with an entry
	file    *os.File // nil until the first entry
	err     error    // of the first write that failed
}

// OpenLedger opens the ledger in a file, which need not exist. What is damaged in it counts as not verified.
func OpenLedger(path string) (*Ledger, error) {
	l := &Ledger{path: path, reads: map[pack.ID]lastRead{}}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	defer file.Close()
	if err := l.read(bufio.NewReaderSize(file, 64<<10)); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return l, nil
}

// read takes in the entries of a file.
func (l *Ledger) read(in io.Reader) error {
	var entry [ledgerEntrySize]byte
	for l.entries = -1; l.entries < maxLedger; l.entries++ {
		_, err := io.ReadFull(in, entry[:])
		if err == io.EOF {
			l.whole = l.entries >= 0
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
		if l.entries < 0 {
			if entry != ledgerHead {
				break
			}
			continue
		}
		if id, at, v, ok := parseEntry(&entry); ok {
			l.take(id, at, v)
		}
	}
	l.entries = max(l.entries, 0)
	return nil
}

func parseEntry(e *[ledgerEntrySize]byte) (id pack.ID, at int64, v verdict, ok bool) {
	if binary.BigEndian.Uint32(e[44:]) != crc32.Checksum(e[:44], crcTable) || e[40] > byte(dataOpened) || !bytes.Equal(e[41:44], []byte{0, 0, 0}) {
		return id, 0, 0, false
	}
	return pack.ID(e[:32]), int64(binary.BigEndian.Uint64(e[32:40])), verdict(e[40]), true
}

func makeEntry(id pack.ID, at int64, v verdict) (e [ledgerEntrySize]byte) {
	copy(e[:], id[:])
	binary.BigEndian.PutUint64(e[32:], uint64(at))
	e[40] = byte(v)
	binary.BigEndian.PutUint32(e[44:], crc32.Checksum(e[:44], crcTable))
	return e
}

// take notes what an entry says. The last one of a pack counts.
func (l *Ledger) take(id pack.ID, at int64, v verdict) {
	was := l.reads[id]
	switch v {
	case foundDamaged:
		delete(l.reads, id)
		return
	case dataOpened:
		was.opened = at
		fallthrough
	default:
		was.hashed = at
	}
	l.reads[id] = was
}

// note appends an entry. An error is kept for Close: what is not noted is read again some day.
func (l *Ledger) note(id pack.ID, at time.Time, v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil && l.err == nil {
		l.err = l.begin()
	}
	l.take(id, at.Unix(), v)
	if l.err != nil {
		return
	}
	entry := makeEntry(id, at.Unix(), v)
	_, l.err = l.file.Write(entry[:])
	l.entries++
}

// begin opens the file to append to, and makes it whole before if it is not.
func (l *Ledger) begin() (err error) {
	if !l.whole {
		if err := l.rewrite(); err != nil {
			return err
		}
	}
	l.file, err = os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// rewrite writes the file anew, with no more than the last entry of each kind for a pack.
func (l *Ledger) rewrite() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".tmp")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	b := bufio.NewWriter(out)
	_, err = b.Write(ledgerHead[:])
	l.entries = 0
	for id, last := range l.reads {
		if last.opened != 0 {
			entry := makeEntry(id, last.opened, dataOpened)
			_, err = b.Write(entry[:])
			l.entries++
		}
		if last.hashed != last.opened {
			entry := makeEntry(id, last.hashed, hashesMatch)
			_, err = b.Write(entry[:])
			l.entries++
		}
	}
	err = errors.Join(err, b.Flush(), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), l.path)
	}
	l.whole = err == nil
	return err
}

// Close makes what was noted durable, and returns the first error of writing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.closed()
	}
	l.err = errors.Join(l.err, l.file.Sync(), l.file.Close())
	l.file = nil
	if l.err == nil && l.entries > 2*len(l.reads)+ledgerSlack {
		l.err = l.rewrite()
	}
	return l.closed()
}

func (l *Ledger) closed() error {
	if l.err != nil {
		return fmt.Errorf("write ledger: %w", l.err)
	}
	return nil
}

// forget drops the packs that keep does not want.
func (l *Ledger) forget(keep func(pack.ID) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.reads {
		if !keep(id) {
			delete(l.reads, id)
		}
	}
}

// last returns when a pack was verified; zero if never, or at a time that has not come.
func (l *Ledger) last(id pack.ID, opened bool, now time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.reads[id].at(opened); at <= now.Unix() {
		return at
	}
	return 0
}
