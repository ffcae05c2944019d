// Package jsonrecord reads the JSON objects of sealed records with the care that the format asks for and
// encoding/json does not take (docs/format.md section 1): text is UTF-8, no member stands twice, names match by
// case, and the version is judged before all else. It is pure, and safe for concurrent use.
package jsonrecord
