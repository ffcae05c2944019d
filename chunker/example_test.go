package chunker_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log"
	"strings"

	"github.com/snapkeep/snap/chunker"
)

// A new repository draws its polynomial once and keeps it secret.
func ExampleRandomPolynomial() {
	polynomial, err := chunker.RandomPolynomial(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	params := chunker.Files(polynomial)
	fmt.Println(params.Validate(), params.Polynomial)
	// Output: <nil> Polynomial(secret)
}

func ExampleCutter_Next() {
	params := chunker.Params{
		Algorithm:   chunker.Rabin,
		Polynomial:  0x3DA3358B4DC173,
		MinSize:     4 << 10,
		MaxSize:     16 << 10,
		AverageBits: 12,
	}
	cutter, err := chunker.New(params)
	if err != nil {
		log.Fatal(err)
	}
	var data bytes.Buffer
	for i := range 5000 {
		fmt.Fprintln(&data, "line", i*i)
	}
	for rest := data.Bytes(); len(rest) > 0; {
		n := cutter.Next(rest, true)
		fmt.Print(n, " ")
		rest = rest[n:]
	}
	// Output: 6199 6782 4496 4469 7382 4705 10598 8472 4584 5046 2641
}

// An insertion at the front changes the first chunk and no other.
func ExampleCutter_Split() {
	cutter, err := chunker.New(chunker.Database(0x3DA3358B4DC173))
	if err != nil {
		log.Fatal(err)
	}
	var text strings.Builder
	for i := range 30_000 {
		fmt.Fprintln(&text, "line", i*i)
	}
	known := map[string]bool{}
	for _, input := range []string{text.String(), "inserted " + text.String()} {
		fresh, all := 0, 0
		err := cutter.Split(strings.NewReader(input), nil, func(chunk []byte) error {
			all++
			if !known[string(chunk)] {
				known[string(chunk)] = true
				fresh++
			}
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(fresh, "of", all, "chunks are new")
	}
	// Output:
	// 10 of 10 chunks are new
	// 1 of 10 chunks are new
}
