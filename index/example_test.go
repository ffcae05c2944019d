package index_test

import (
	"context"
	"fmt"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

func Example() {
	chunk := pack.ChunkID{1}
	body := index.Encode(index.File{Packs: []index.Pack{{
		ID: pack.ID{2}, Class: pack.ClassData, Size: 1024,
		Directory: pack.Directory{{Kind: pack.KindData, Length: 300, Chunks: []pack.Chunk{{ID: chunk, Length: 200}}}},
	}}})
	name := pack.SumID(body) // of the sealed file, in truth

	cache := index.OpenCache("") // a folder, in truth
	defer cache.Close()
	_, err := cache.Sync(context.Background(),
		func(context.Context) ([]pack.ID, error) { return []pack.ID{name}, nil },
		func(context.Context, pack.ID) ([]byte, error) { return body, nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	location, ok := cache.Set().Lookup(chunk)
	fmt.Println(ok, location.Offset, location.Length, location.Ordinal)
	// Output: true 0 300 0
}
