package target

import (
	"fmt"
	"testing"

	"github.com/snapkeep/snap/internal/tree"
)

// BenchmarkSmallFiles restores files of 2 KiB, 50 a folder.
func BenchmarkSmallFiles(b *testing.B) {
	for _, foreign := range []bool{false, true} {
		name := map[bool]string{false: "own", true: "foreign"}[foreign]
		b.Run(name, func(b *testing.B) {
			r, err := Open(b.TempDir(), Options{ForgiveOwners: true})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			data := make([]byte, 2048)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				dir := fmt.Sprint("d", i/50)
				if i%50 == 0 {
					if err := r.MkdirAll(dir); err != nil {
						b.Fatal(err)
					}
				}
				d, err := r.Dir(dir)
				if err != nil {
					b.Fatal(err)
				}
				e := tree.Entry{Stat: tree.Stat{
					Name: fmt.Sprint("f", i), Kind: tree.Regular, Mode: 0o644, Links: 1, Size: 2048,
					UID: r.uid, GID: r.uid, ModTime: tree.Time{Sec: 1_000_000_000},
				}}
				if foreign {
					e.UID, e.GID = 1000, 1000
				}
				f, err := d.Create(&e, Refuse)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteAt(data, 0); err != nil {
					b.Fatal(err)
				}
				if _, err := f.Finish(&e); err != nil {
					b.Fatal(err)
				}
				d.Release()
			}
		})
	}
}
