package term

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Size returns a number of bytes for people: 3 B, 1.500 KiB, 2.000 GiB.
func Size(bytes int64) string {
	v := float64(bytes)
	unit := -1
	for math.Abs(v) >= 1024 && unit+1 < len(sizeUnits) {
		v /= 1024
		unit++
	}
	if unit < 0 {
		return strconv.FormatInt(bytes, 10) + " B"
	}
	return fmt.Sprintf("%.3f %s", v, sizeUnits[unit])
}

// ErrSize says that a size cannot be understood.
var ErrSize = errors.New("not a size: want a number with B, K, M, G or T behind it")

// ParseSize returns the bytes that s stands for: a number and a unit, which may be B,
// or K, M, G or T for powers of 1024, with iB or B behind them or not. A number alone
// counts in bare, which is a number of bytes.
func ParseSize(s string, bare int64) (int64, error) {
	digits := strings.TrimRight(s, "bBiIkKmMgGtT \t")
	unit := strings.ToLower(strings.TrimSpace(s[len(digits):]))
	factor, ok := map[string]int64{"": bare, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}[shortUnit(unit)]
	if !ok || digits == "" {
		return 0, fmt.Errorf("%q: %w", s, ErrSize)
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/factor {
		return n * factor, nil
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(v >= 0) || v*float64(factor) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q: %w", s, ErrSize)
	}
	return int64(v * float64(factor)), nil
}

// shortUnit takes the b or ib off a unit in lower case.
func shortUnit(unit string) string {
	if len(unit) > 1 {
		unit = strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i")
	}
	return unit
}

// Duration returns d as m:ss or h:mm:ss.
func Duration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// Count returns a number with its word: 1 file, 2 files, 2 files or folders.
func Count(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.FormatInt(n, 10) + " " + strings.ReplaceAll(word, " or ", "s or ") + "s"
}
