package index

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// lock takes the lock of the folder if nobody has it, and returns what gives it back. Who does
// not get it works for himself and publishes nothing.
func (c *Cache) lock() (unlock func()) {
	if c.dir == "" {
		return func() {}
	}
	f, err := os.OpenFile(filepath.Join(c.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}
	}
	c.locked = lockFile(f)
	return func() {
		if c.locked {
			unlockFile(f)
		}
		c.locked = false
		_ = f.Close()
	}
}

// reopen reads the manifest and, if it is not the one that the tables go back to, takes its
// tables instead.
func (c *Cache) reopen() {
	if c.dir == "" {
		return
	}
	data, err := os.ReadFile(filepath.Join(c.dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) { // the folder was emptied: its tables are nameless
		c.last = nil
		for _, t := range c.tables {
			t.name = ""
		}
	}
	if err != nil || slices.Equal(data, c.last) {
		return
	}
	c.forget(c.tables)
	c.last = data
	m := decodeManifest(data)
	for _, name := range m.tables {
		t, err := openTableFile(c.dir, name)
		if err != nil {
			continue
		}
		c.tables = append(c.tables, &cached{table: t, name: name})
	}
	// Tables are not synced to the disk: a crash of the machine may have left holes in them.
	if boot := bootID(); m.boot == "" || m.boot != boot {
		c.dropDamaged(slices.Clone(c.tables))
	}
}

// openTableFile maps a table in the folder.
func openTableFile(dir, name string) (*table, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < headerSize {
		return nil, errBadTable
	}
	data, release, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, err
	}
	t, err := openTable(data, release)
	if err == nil && tableName(data) != name {
		err = errBadTable
	}
	if err != nil {
		release()
		return nil, err
	}
	return t, nil
}

// publish writes the manifest, and the tables that have no name. If that fails the folder stays
// as it is.
func (c *Cache) publish() {
	if !c.locked {
		return
	}
	m := manifest{boot: bootID()}
	for i, t := range c.tables {
		if t.name == "" {
			file := c.newSpool()
			_, err := file.WriteAt(t.data, 0)
			if err == nil {
				t, err = publishTable(c.dir, file)
			}
			file.drop()
			if err != nil {
				return
			}
			c.tables[i].drop()
			c.tables[i] = t
		}
		m.tables = append(m.tables, t.name)
	}
	data := m.encode()
	if slices.Equal(data, c.last) || writeManifest(c.dir, data) != nil {
		return
	}
	c.last = data
	sweep(c.dir, m.tables)
}

// publishTable gives a table its name in the folder. After an error the spool is as it was.
func publishTable(dir string, file *spool) (*cached, error) {
	var header [headerSize]byte
	if err := file.read(header[:]); err != nil {
		return nil, err
	}
	name := tableName(header[:])
	if err := file.publish(dir, name); err != nil {
		return nil, err
	}
	t, err := openTableFile(dir, name)
	if err != nil {
		return nil, err
	}
	return &cached{table: t, name: name}, nil
}
