package chunker

import "math/bits"

// irreducible reports whether p is irreducible and of degree 53. The polynomial x^(2^53) - x is the product of all irreducible
// ones whose degree divides 53, each once. 53 is prime and only x and x+1 have degree 1, so that one of degree 53 divides the
// product only if it is among its factors.
func irreducible(p Polynomial) bool {
	if bits.Len64(uint64(p)) != degree+1 || bits.OnesCount64(uint64(p))%2 == 0 { // an even number of terms: x+1 is a factor
		return false
	}
	const x = 2
	power := uint64(x)
	for range degree {
		power = squareModulo(power, uint64(p))
	}
	return power == x
}

// squareModulo returns the square of a, of a degree below 53, modulo p of degree 53.
func squareModulo(a, p uint64) uint64 {
	high, low := spread(uint32(a>>32)), spread(uint32(a)) // without carries a square is its root, spread
	for shift := uint(degree - 2); shift < degree; shift-- {
		// The bit at shift + degree, as a mask.
		bit := -(low >> (shift + degree) & 1)
		if shift+degree >= 64 {
			bit = -(high >> (shift + degree - 64) & 1)
		}
		high ^= p >> (64 - shift) & bit
		low ^= p << shift & bit
	}
	return low
}

// spread puts a zero between each two bits.
func spread(x uint32) uint64 {
	v := uint64(x)
	v = (v | v<<16) & 0x0000ffff0000ffff
	v = (v | v<<8) & 0x00ff00ff00ff00ff
	v = (v | v<<4) & 0x0f0f0f0f0f0f0f0f
	v = (v | v<<2) & 0x3333333333333333
	v = (v | v<<1) & 0x5555555555555555
	return v
}
