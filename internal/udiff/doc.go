// Package udiff compares texts line by line and writes the differences as a unified diff.
//
// The comparison is that of Myers in linear space. It is exact as long as texts differ in a few
// thousand lines; beyond that what lies between equal stretches is given as replaced as a
// whole, so that the time stays bounded. The package is pure.
package udiff
