package repo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/index"
)

// chooser returns the packs of an index that are to be read.
type chooser func(set *index.Set) []index.PackInfo

// parseSubset reads CheckOptions.Subset. The error wraps ErrSubset.
func parseSubset(text string) (chooser, error) {
	all := func(set *index.Set) []index.PackInfo { return slices.Collect(set.Packs()) }
	if text == "" {
		return all, nil
	}
	if number, parts, ok := strings.Cut(text, "/"); ok {
		n, err1 := strconv.ParseUint(number, 10, 16)
		t, err2 := strconv.ParseUint(parts, 10, 16)
		if err1 != nil || err2 != nil || n < 1 || n > t {
			return nil, fmt.Errorf("%w: %q: want n/t, as in 1/5, with n from 1 to t", ErrSubset, text)
		}
		return func(set *index.Set) []index.PackInfo {
			return slices.DeleteFunc(all(set), func(p index.PackInfo) bool {
				return uint64(binary.BigEndian.Uint32(p.ID[:]))%t != n-1
			})
		}, nil
	}
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		share, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(share > 0 && share <= 100) {
			return nil, fmt.Errorf("%w: %q: want a share above 0%% and up to 100%%", ErrSubset, text)
		}
		return func(set *index.Set) []index.PackInfo {
			packs := all(set)
			rand.Shuffle(len(packs), func(i, k int) { packs[i], packs[k] = packs[k], packs[i] })
			n := int(float64(len(packs))*share/100 + 0.5)
			return packs[:min(len(packs), max(n, 1))]
		}, nil
	}
	size, err := parseBytes(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: want n/t, a share such as 5%%, or a size such as 500M", ErrSubset, text)
	}
	return func(set *index.Set) []index.PackInfo {
		packs := all(set)
		rand.Shuffle(len(packs), func(i, k int) { packs[i], packs[k] = packs[k], packs[i] })
		for i, p := range packs {
			if size -= p.Size; size <= 0 {
				return packs[:i+1]
			}
		}
		return packs
	}, nil
}

// parseBytes reads a size in bytes, with a unit of K, M, G or T, each 1024 times the one before.
func parseBytes(text string) (int64, error) {
	unit := int64(1)
	if i := strings.IndexByte("KMGT", lastUpper(text)); i >= 0 {
		unit = 1 << (10 * (i + 1))
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return n * unit, nil
}

// lastUpper returns the last byte of text in upper case, 0 if there is none.
func lastUpper(text string) byte {
	if text == "" {
		return 0
	}
	c := text[len(text)-1]
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}
