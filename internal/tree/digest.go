package tree

import (
	"encoding/binary"

	"github.com/zeebo/blake3"
)

// Digest stands for the stat fields of a run's entries; the zero Digest is void and
// equals nothing (docs/format.md section 8.5).
type Digest [16]byte

// IsVoid reports whether d stands for nothing.
func (d Digest) IsVoid() bool { return d == Digest{} }

// Digester computes stat digests without allocating. It serves one goroutine.
type Digester struct {
	buf []byte
}

// Stats returns the digest of stats, which are ordered by name.
func (d *Digester) Stats(stats []Stat) Digest {
	d.buf = d.buf[:0]
	for i := range stats {
		d.add(&stats[i])
	}
	return d.sum()
}

// entries returns the digest of entries, void if one of them has a mark.
func (d *Digester) entries(entries []Entry) Digest {
	d.buf = d.buf[:0]
	for i := range entries {
		if entries[i].Marks != 0 {
			return Digest{}
		}
		d.add(&entries[i].Stat)
	}
	return d.sum()
}

func (d *Digester) add(s *Stat) {
	size, links := uint64(0), uint32(1)
	if s.Kind == Regular {
		size = uint64(s.Size)
	}
	if s.Kind != Directory && s.Links > 1 {
		links = s.Links
	}
	b := binary.LittleEndian.AppendUint16(d.buf, uint16(len(s.Name)))
	b = append(b, s.Name...)
	b = append(b, byte(s.Kind))
	b = binary.LittleEndian.AppendUint16(b, s.Mode)
	b = binary.LittleEndian.AppendUint32(b, s.UID)
	b = binary.LittleEndian.AppendUint32(b, s.GID)
	b = binary.LittleEndian.AppendUint32(b, links)
	b = binary.LittleEndian.AppendUint64(b, s.Inode)
	b = binary.LittleEndian.AppendUint64(b, size)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.ModTime.Sec))
	b = binary.LittleEndian.AppendUint32(b, s.ModTime.Nsec)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.ChangeTime.Sec))
	b = binary.LittleEndian.AppendUint32(b, s.ChangeTime.Nsec)
	d.buf = binary.LittleEndian.AppendUint64(b, s.rdev())
}

// rdev returns the device number of a device node, 0 for all else.
func (s *Stat) rdev() uint64 {
	if s.Kind == CharDevice || s.Kind == BlockDevice {
		return s.Rdev
	}
	return 0
}

func (d *Digester) sum() (out Digest) {
	sum := blake3.Sum256(d.buf)
	copy(out[:], sum[:])
	return out
}
