package pack_test

import (
	"bytes"
	"fmt"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// A pack is written segment by segment, and read by its directory.
func Example() {
	repository := [16]byte{1}
	key := seal.NewKey(&[32]byte{2}, repository, nil)
	ids := pack.IDKey{3}

	compressor, _ := compress.NewCompressor(compress.Default)
	hasher, encoder := ids.NewHasher(), pack.NewEncoder(key, compressor)
	body := []byte("first chunk, second chunk")
	lengths := []uint32{13, 12}
	first, _ := hasher.Sum(pack.KindTree, body[:13])
	second, _ := hasher.Sum(pack.KindTree, body[13:])
	box, err := encoder.Append(nil, pack.KindTree, lengths, body, blake3.Sum256(body))
	if err != nil {
		fmt.Println(err)
	}

	var file bytes.Buffer
	w := pack.NewWriter(&file, pack.ClassMeta, repository)
	w.Add(pack.KindTree, box, []pack.Chunk{{ID: first, Length: 13}, {ID: second, Length: 12}})
	id, _, size, err := w.Finish(key, nil)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("named by its hash:", id == pack.SumID(file.Bytes()))

	_, directory, err := pack.ReadDirectoryFrom(bytes.NewReader(file.Bytes()), size, key, repository)
	if err != nil {
		fmt.Println(err)
	}
	decoder := pack.NewDecoder(&ids, new(compress.Decompressor))
	for _, s := range directory {
		chunks, err := decoder.Open(key, s.Kind, file.Bytes()[s.Offset:s.Offset+s.Length])
		if err != nil {
			fmt.Println(err)
		}
		for i, chunk := range chunks {
			fmt.Printf("%s %v\n", chunk, decoder.Check(s.Kind, s.Chunks[i].ID, chunk))
		}
	}
	// Output:
	// named by its hash: true
	// first chunk,  <nil>
	// second chunk <nil>
}

func ExamplePaddedSize() {
	for _, n := range []int64{7, 1000, 123_456, 33_000_000} {
		fmt.Println(n, pack.PaddedSize(n))
	}
	// Output:
	// 7 7
	// 1000 1024
	// 123456 124928
	// 33000000 33030144
}
