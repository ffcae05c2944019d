// Package goldentest keeps a repository of each released version of the format, for
// ever, and tests that it is still read and restored, byte for byte.
//
// testdata/golden-v1.tar is the store, golden-v1.manifest what the independent verifier listed when
// it was made, golden-v1.json its keys and what else is to be found in it. They were made by the program in
// generate, which makes no file that exists: what is golden is never made again.
package goldentest
