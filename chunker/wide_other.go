//go:build !amd64 || purego

package chunker

const haveWide = false

func scanWide(*byte, int, *matrices, *[wideLanes]sighting) int {
	panic("chunker: scanWide without wide lanes")
}
