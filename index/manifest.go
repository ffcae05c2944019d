package index

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zeebo/blake3"
)

// The folder of a Cache holds tables, each named by a hash of its header, and a manifest that
// says which of them belong together: no two of these hold the same pack. Files are made under
// another name and renamed; none is ever changed. What the manifest does not list is rubbish.
//
//	manifest:  snap index cache 1
//	           boot <id of the machine's start>
//	           <32 hex>.table …
//	           sum <64 hex: hash of the lines above>
const (
	manifestName  = "manifest"
	manifestHead  = "snap index cache 1"
	lockName      = "lock"
	tableSuffix   = ".table"
	tempLifetime  = 24 * time.Hour
	manifestLimit = 1 << 20
)

// manifest is what the file of that name says.
type manifest struct {
	boot   string // the start of the machine since which the tables are known to be whole
	tables []string
}

func (m manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nboot %s\n", manifestHead, m.boot)
	for _, name := range m.tables {
		fmt.Fprintln(&b, name)
	}
	sum := blake3.Sum256(b.Bytes())
	fmt.Fprintf(&b, "sum %x\n", sum)
	return b.Bytes()
}

// decodeManifest returns the empty manifest if data is no manifest: then all is made again.
func decodeManifest(data []byte) manifest {
	at := bytes.LastIndex(data, []byte("sum "))
	if at < 0 || len(data) > manifestLimit {
		return manifest{}
	}
	if sum := blake3.Sum256(data[:at]); string(data[at:]) != fmt.Sprintf("sum %x\n", sum) {
		return manifest{}
	}
	lines := strings.Split(string(data[:at]), "\n")
	if len(lines) < 3 || lines[0] != manifestHead || !strings.HasPrefix(lines[1], "boot ") {
		return manifest{}
	}
	m := manifest{boot: lines[1][len("boot "):]}
	for _, name := range lines[2 : len(lines)-1] {
		if !isTableName(name) {
			return manifest{}
		}
		m.tables = append(m.tables, name)
	}
	return m
}

func isTableName(name string) bool {
	stem, ok := strings.CutSuffix(name, tableSuffix)
	raw, err := hex.DecodeString(stem)
	return ok && err == nil && len(raw) == 16
}

// tableName returns the name of a table with such a beginning.
func tableName(header []byte) string {
	return hex.EncodeToString(header[headerSumAt:headerSumAt+16]) + tableSuffix
}

// writeManifest replaces the manifest in dir.
func writeManifest(dir string, data []byte) error {
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, manifestName))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// sweep removes the tables that are not listed, and unfinished files that nobody will finish.
func sweep(dir string, keep []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	listed := make(map[string]bool)
	for _, name := range keep {
		listed[name] = true
	}
	for _, e := range entries {
		old := isTableName(e.Name()) && !listed[e.Name()]
		if strings.HasPrefix(e.Name(), strings.TrimSuffix(tempPattern, "*")) {
			info, err := e.Info()
			old = err == nil && time.Since(info.ModTime()) > tempLifetime
		}
		if old {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// bootID returns what changes when the machine starts again; empty if that cannot be told.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
