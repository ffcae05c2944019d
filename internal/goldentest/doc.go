// Package goldentest keeps a repository of each released version of the format, for
// ever, and tests that it is still read and restored, byte for byte.
//
// In testdata a file .tar is the store, .manifest what the independent verifier listed when
// it was made, .json its keys and what else is to be found in it. golden-v1 has packs and index files of version 1, golden-v2 also those of
// version 2, whose segments may have dictionaries. They were made by the program in
// generate, which makes no file that exists: what is golden is never made again.
package goldentest
