package verifier

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io/fs"
	"strings"

	"github.com/zeebo/blake3"
)

// checkCopies compares second copies with what their names say, section 13.2.
func (r *Repository) checkCopies() {
	err := fs.WalkDir(r.files, "copy", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := r.checkCopy(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.damage(path, err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.damage("copy", err)
	}
}

func (r *Repository) checkCopy(path string) error {
	original := strings.TrimPrefix(path, "copy/")
	folder, name, _ := strings.Cut(original, "/")
	if original != "snap.json" && (folders[folder] == "" || !fits(name, folders[folder])) {
		return nil // no name of section 2
	}
	data, err := r.readFile(path, 256<<20)
	switch {
	case err != nil:
		return err
	case original == "snap.json" && blake3.Sum256(data) != r.config.sum:
		return damaged("another snap.json")
	case original == "snap.json":
		return nil
	case folder == "content" && r.keys.identity != nil:
		_, err := r.keys.unwrapContentKey(name, data)
		return err
	}
	return checkName(folder, name, data)
}

// checkParity checks the parity of all packs by its checksums, section 13.1. It mends nothing.
func (r *Repository) checkParity() {
	for _, name := range r.names["parity"] {
		path := r.path("parity", name)
		data, err := r.readFile(path, maxPack)
		if err == nil {
			err = r.checkShards(name, data)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.damage(path, err)
		}
	}
}

const parityFixed = 64 // bytes of the header before the checksums

// parityHeader is what stands in front of a parity file and again at its end.
type parityHeader struct {
	shard, stripes, perStripe int
	size                      int64
	sums                      []byte
	length                    int // of the header
}

func parseParityHeader(name string, data []byte) (*parityHeader, error) {
	if len(data) < parityFixed+16 || string(data[:8]) != "snapprty" {
		return nil, damaged("no parity header")
	}
	if v := binary.LittleEndian.Uint16(data[8:]); v > 1 {
		return nil, newer("parity of version %d", v)
	} else if v == 0 {
		return nil, damaged("parity of version 0")
	}
	word := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	h := &parityHeader{shard: word(12), size: int64(binary.LittleEndian.Uint64(data[16:])), stripes: word(56), perStripe: word(60)}
	if h.shard < 1 || h.shard > 1<<16 || h.size < 1 || h.size > maxPack || h.stripes < 1 || h.perStripe < 1 || h.perStripe > 64 || h.stripes > maxPack/h.shard {
		return nil, damaged("parity of %d stripes with %d shards of %d bytes", h.stripes, h.perStripe, h.shard)
	}
	if hex.EncodeToString(data[24:56]) != name || binary.LittleEndian.Uint16(data[10:]) != 2 {
		return nil, damaged("parity of another pack")
	}
	shards := int((h.size + int64(h.shard) - 1) / int64(h.shard))
	h.length = parityFixed + 4*(shards+2*h.stripes) + 16
	if h.stripes != (shards+63)/64 || h.perStripe != (shards+h.stripes-1)/h.stripes || len(data) != 2*h.length+2*h.stripes*h.shard {
		return nil, damaged("parity file of %d bytes for a pack of %d", len(data), h.size)
	}
	sum := blake3.Sum256(data[:h.length-16])
	if !bytes.Equal(sum[:16], data[h.length-16:h.length]) || !bytes.Equal(data[:h.length], data[len(data)-h.length:]) {
		return nil, damaged("parity header's checksum")
	}
	h.sums = data[parityFixed : h.length-16]
	return h, nil
}

// checkShards checks a parity file, and that it is of the pack unless that is damaged itself.
func (r *Repository) checkShards(name string, data []byte) error {
	h, err := parseParityHeader(name, data)
	if err != nil {
		return err
	}
	count := len(h.sums)/4 - 2*h.stripes
	for i := range 2 * h.stripes {
		at := h.length + i*h.shard
		if !h.matches(count+i, data[at:at+h.shard]) {
			return damaged("parity shard %d", i)
		}
	}
	pack, err := r.readPackFile(name)
	if err != nil {
		return nil // told elsewhere
	}
	if int64(len(pack)) != h.size {
		return damaged("parity of a pack of %d bytes, it has %d", h.size, len(pack))
	}
	padded := append(pack, make([]byte, count*h.shard-len(pack))...)
	for i := range count {
		if !h.matches(i, padded[i*h.shard:(i+1)*h.shard]) {
			return damaged("checksum of data shard %d", i)
		}
	}
	return nil
}

func (h *parityHeader) matches(i int, shard []byte) bool {
	return crc32.Checksum(shard, crc32.MakeTable(crc32.Castagnoli)) == binary.LittleEndian.Uint32(h.sums[4*i:])
}

// readPackFile reads a whole pack of which the bytes match the name.
func (r *Repository) readPackFile(name string) ([]byte, error) {
	for _, folder := range []string{"data", "meta"} {
		if data, err := r.readFile(r.path(folder, name), maxPack); err == nil {
			return data, checkName(folder, name, data)
		}
	}
	return nil, fs.ErrNotExist
}
