//go:build !purego

package chunker

import "golang.org/x/sys/cpu"

// haveWide says that the processor has what scanWide needs: GFNI and VBMI on registers of 64 bytes, and that the system saves these.
var haveWide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI && cpu.X86.HasAVX512GFNI && cpu.X86.HasBMI1

// scanWide searches 64 lanes that lie side by side at p: of lane bytes each, a multiple of 64 that is not 0, and windowSize bytes behind the last. It tells of the
// first candidate of each lane, in the order of their positions, and ends early if lane 0 has one. n is the number of sightings.
// It must not be called where haveWide is false.
//
//go:noescape
func scanWide(p *byte, lane int, m *matrices, found *[wideLanes]sighting) (n int)
