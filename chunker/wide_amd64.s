//go:build !purego

#include "textflag.h"

// wide.go says how the lanes are searched.

// The registers of a step that change.
#define S0 Z0 // state, planes 0 to 6
#define S1 Z1
#define S2 Z2
#define S3 Z3
#define S4 Z4
#define S5 Z5
#define S6 Z6
#define OUT Z27 // the bytes that leave
#define TOP Z30 // plane 6 before the step
#define A Z29
#define B Z31

// TRANSPOSE takes Z0 to Z7 for the rows of a matrix of quadwords, and leaves its columns in Z8, Z12, Z10, Z14, Z9, Z13, Z11, Z15.
#define TRANSPOSE \
	VPUNPCKLQDQ Z1, Z0, Z8         \
	VPUNPCKHQDQ Z1, Z0, Z9         \
	VPUNPCKLQDQ Z3, Z2, Z10        \
	VPUNPCKHQDQ Z3, Z2, Z11        \
	VPUNPCKLQDQ Z5, Z4, Z12        \
	VPUNPCKHQDQ Z5, Z4, Z13        \
	VPUNPCKLQDQ Z7, Z6, Z14        \
	VPUNPCKHQDQ Z7, Z6, Z15        \
	VSHUFI64X2  $0x88, Z10, Z8, Z0 \
	VSHUFI64X2  $0xdd, Z10, Z8, Z1 \
	VSHUFI64X2  $0x88, Z14, Z12, Z2 \
	VSHUFI64X2  $0xdd, Z14, Z12, Z3 \
	VSHUFI64X2  $0x88, Z11, Z9, Z4 \
	VSHUFI64X2  $0xdd, Z11, Z9, Z5 \
	VSHUFI64X2  $0x88, Z15, Z13, Z6 \
	VSHUFI64X2  $0xdd, Z15, Z13, Z7 \
	VSHUFI64X2  $0x88, Z2, Z0, Z8  \
	VSHUFI64X2  $0xdd, Z2, Z0, Z9  \
	VSHUFI64X2  $0x88, Z3, Z1, Z10 \
	VSHUFI64X2  $0xdd, Z3, Z1, Z11 \
	VSHUFI64X2  $0x88, Z6, Z4, Z12 \
	VSHUFI64X2  $0xdd, Z6, Z4, Z13 \
	VSHUFI64X2  $0x88, Z7, Z5, Z14 \
	VSHUFI64X2  $0xdd, Z7, Z5, Z15

// STORE puts what TRANSPOSE leaves, in order, at CX and an offset from base, one every step bytes.
#define STORE(offset, step, base) \
	VMOVDQA64 Z8, (offset+0*step)(base)(CX*1) \
	VMOVDQA64 Z12, (offset+1*step)(base)(CX*1) \
	VMOVDQA64 Z10, (offset+2*step)(base)(CX*1) \
	VMOVDQA64 Z14, (offset+3*step)(base)(CX*1) \
	VMOVDQA64 Z9, (offset+4*step)(base)(CX*1) \
	VMOVDQA64 Z13, (offset+5*step)(base)(CX*1) \
	VMOVDQA64 Z11, (offset+6*step)(base)(CX*1) \
	VMOVDQA64 Z15, (offset+7*step)(base)(CX*1)

// PLANE makes a plane out of the one below it, of what falls out at the top and of the byte that leaves.
#define PLANE(reduce, leave, below, plane) \
	VGF2P8AFFINEQB $0, reduce, TOP, A \
	VGF2P8AFFINEQB $0, leave, OUT, B  \
	VMOVDQA64      below, plane       \
	VPTERNLOGQ     $0x96, A, B, plane

// The places in the frame, which begins at a multiple of 64.
#define TILES 0      // two of 4096 bytes
#define SCRATCH 8192 // 4096 bytes
#define STATE 12288  // 7 planes of 64 bytes

// func scanWide(p *byte, lane int, m *matrices, found *[wideLanes]sighting) (n int)
TEXT ·scanWide(SB), 0, $12800-40
	MOVQ p+0(FP), SI
	MOVQ lane+8(FP), R8
	MOVQ found+24(FP), R12
	LEAQ 63(SP), R9
	ANDQ $~63, R9
	LEAQ (R8)(R8*2), R13 // three lanes
	XORQ R10, R10        // the tile that leaves, the other is the one that enters
	MOVQ $-64, DI        // the position in the lanes; below 0 the windows are not full yet
	MOVQ $-1, DX         // lanes of which no more is told; of none before the windows are full

	// Nothing leaves the first windows, and the state of nothing is nothing.
	VPXORQ Z0, Z0, Z0
	XORQ   AX, AX

clear:
	VMOVDQA64 Z0, TILES(R9)(AX*1)
	ADDQ      $64, AX
	CMPQ      AX, $4096
	JB        clear
	VMOVDQA64 Z0, (STATE+0*64)(R9)
	VMOVDQA64 Z0, (STATE+1*64)(R9)
	VMOVDQA64 Z0, (STATE+2*64)(R9)
	VMOVDQA64 Z0, (STATE+3*64)(R9)
	VMOVDQA64 Z0, (STATE+4*64)(R9)
	VMOVDQA64 Z0, (STATE+5*64)(R9)
	VMOVDQA64 Z0, (STATE+6*64)(R9)

tile:
	// A tile is 64 bytes of each of 64 lanes. First eight lanes at a time: their quadwords change places, and the bytes within each.
	VMOVDQU64 wideBytes<>(SB), Z16
	MOVQ      SI, BX
	XORQ      CX, CX

rows:
	LEAQ      (BX)(R8*4), R11
	VMOVDQU64 (BX), Z0
	VMOVDQU64 (BX)(R8*1), Z1
	VMOVDQU64 (BX)(R8*2), Z2
	VMOVDQU64 (BX)(R13*1), Z3
	VMOVDQU64 (R11), Z4
	VMOVDQU64 (R11)(R8*1), Z5
	VMOVDQU64 (R11)(R8*2), Z6
	VMOVDQU64 (R11)(R13*1), Z7

	// The last byte of each row of the next tile.
	PREFETCHT0 127(BX)
	PREFETCHT0 127(BX)(R8*1)
	PREFETCHT0 127(BX)(R8*2)
	PREFETCHT0 127(BX)(R13*1)
	PREFETCHT0 127(R11)
	PREFETCHT0 127(R11)(R8*1)
	PREFETCHT0 127(R11)(R8*2)
	PREFETCHT0 127(R11)(R13*1)

	TRANSPOSE
	VPERMB    Z8, Z16, Z8
	VPERMB    Z12, Z16, Z12
	VPERMB    Z10, Z16, Z10
	VPERMB    Z14, Z16, Z14
	VPERMB    Z9, Z16, Z9
	VPERMB    Z13, Z16, Z13
	VPERMB    Z11, Z16, Z11
	VPERMB    Z15, Z16, Z15
	STORE(SCRATCH, 512, R9)
	LEAQ      (BX)(R8*8), BX
	ADDQ      $64, CX
	CMPQ      CX, $512
	JB        rows

	// Then eight bytes of all lanes at a time.
	XORQ $4096, R10
	LEAQ TILES(R9)(R10*1), R11
	XORQ CX, CX

columns:
	VMOVDQA64 (SCRATCH+0*64)(R9)(CX*1), Z0
	VMOVDQA64 (SCRATCH+1*64)(R9)(CX*1), Z1
	VMOVDQA64 (SCRATCH+2*64)(R9)(CX*1), Z2
	VMOVDQA64 (SCRATCH+3*64)(R9)(CX*1), Z3
	VMOVDQA64 (SCRATCH+4*64)(R9)(CX*1), Z4
	VMOVDQA64 (SCRATCH+5*64)(R9)(CX*1), Z5
	VMOVDQA64 (SCRATCH+6*64)(R9)(CX*1), Z6
	VMOVDQA64 (SCRATCH+7*64)(R9)(CX*1), Z7
	TRANSPOSE
	STORE(0, 64, R11)
	ADDQ      $512, CX
	CMPQ      CX, $4096
	JB        columns

	// All lanes go on by 64 bytes.
	MOVQ         m+16(FP), AX
	VPBROADCASTQ (0*8)(AX), Z7   // reduce, planes 0 to 6
	VPBROADCASTQ (1*8)(AX), Z8
	VPBROADCASTQ (2*8)(AX), Z9
	VPBROADCASTQ (3*8)(AX), Z10
	VPBROADCASTQ (4*8)(AX), Z11
	VPBROADCASTQ (5*8)(AX), Z12
	VPBROADCASTQ (6*8)(AX), Z13
	VPBROADCASTQ (7*8)(AX), Z14  // leave, planes 0 to 6
	VPBROADCASTQ (8*8)(AX), Z15
	VPBROADCASTQ (9*8)(AX), Z16
	VPBROADCASTQ (10*8)(AX), Z17
	VPBROADCASTQ (11*8)(AX), Z18
	VPBROADCASTQ (12*8)(AX), Z19
	VPBROADCASTQ (13*8)(AX), Z20
	VPBROADCASTQ (14*8)(AX), Z21 // enter, planes 0 and 1
	VPBROADCASTQ (15*8)(AX), Z22
	VPBROADCASTQ (16*8)(AX), Z23 // mask, planes 0 to 3
	VPBROADCASTQ (17*8)(AX), Z24
	VPBROADCASTQ (18*8)(AX), Z25
	VPBROADCASTQ (19*8)(AX), Z26
	VMOVDQA64    (STATE+0*64)(R9), S0
	VMOVDQA64    (STATE+1*64)(R9), S1
	VMOVDQA64    (STATE+2*64)(R9), S2
	VMOVDQA64    (STATE+3*64)(R9), S3
	VMOVDQA64    (STATE+4*64)(R9), S4
	VMOVDQA64    (STATE+5*64)(R9), S5
	VMOVDQA64    (STATE+6*64)(R9), S6
	MOVQ         R10, BX
	XORQ         $4096, BX
	LEAQ         TILES(R9)(BX*1), BX // leaves
	XORQ         CX, CX

step:
	VPANDQ     S0, Z23, A
	VPTERNLOGQ $0xf8, S1, Z24, A
	VPTERNLOGQ $0xf8, S2, Z25, A
	VPTERNLOGQ $0xf8, S3, Z26, A
	VPTESTNMB  A, A, K1
	VMOVDQA64  S6, TOP
	VMOVDQA64  (BX)(CX*1), OUT
	KMOVQ      K1, AX
	ANDNQ      AX, DX, AX
	JNZ        sight

move:
	PLANE(Z13, Z20, S5, S6)
	PLANE(Z12, Z19, S4, S5)
	PLANE(Z11, Z18, S3, S4)
	PLANE(Z10, Z17, S2, S3)
	PLANE(Z9, Z16, S1, S2)
	PLANE(Z8, Z15, S0, S1)
	VMOVDQA64      (R11)(CX*1), Z28
	VGF2P8AFFINEQB $0, Z22, Z28, A
	VPXORQ         A, S1, S1
	VGF2P8AFFINEQB $0, Z21, Z28, Z28
	PLANE(Z7, Z14, Z28, S0)
	INCQ           DI
	ADDQ           $64, CX
	CMPQ           CX, $4096
	JB             step

	VMOVDQA64 S0, (STATE+0*64)(R9)
	VMOVDQA64 S1, (STATE+1*64)(R9)
	VMOVDQA64 S2, (STATE+2*64)(R9)
	VMOVDQA64 S3, (STATE+3*64)(R9)
	VMOVDQA64 S4, (STATE+4*64)(R9)
	VMOVDQA64 S5, (STATE+5*64)(R9)
	VMOVDQA64 S6, (STATE+6*64)(R9)
	ADDQ      $64, SI
	TESTQ     DI, DI
	JNZ       filled
	XORQ      DX, DX // the windows are full

filled:
	CMPQ DI, R8
	JLT  tile

done:
	VZEROUPPER
	SUBQ found+24(FP), R12
	SHRQ $4, R12
	MOVQ R12, n+32(FP)
	RET

sight:
	// Some lanes are at their first candidate.
	MOVQ  DI, (R12)
	MOVQ  AX, 8(R12)
	ADDQ  $16, R12
	ORQ   AX, DX
	TESTQ $1, DX // nothing comes before what lane 0 has
	JZ    move
	JMP   done

// wideBytes[8*i+j] is 8*j+i.
DATA wideBytes<>+0(SB)/8, $0x3830282018100800
DATA wideBytes<>+8(SB)/8, $0x3931292119110901
DATA wideBytes<>+16(SB)/8, $0x3a322a221a120a02
DATA wideBytes<>+24(SB)/8, $0x3b332b231b130b03
DATA wideBytes<>+32(SB)/8, $0x3c342c241c140c04
DATA wideBytes<>+40(SB)/8, $0x3d352d251d150d05
DATA wideBytes<>+48(SB)/8, $0x3e362e261e160e06
DATA wideBytes<>+56(SB)/8, $0x3f372f271f170f07
GLOBL wideBytes<>(SB), RODATA|NOPTR, $64
