// Package term makes text safe and pleasant to print: names and messages without control
// bytes, JSON without them, tables, sizes, durations, and whether a stream is a terminal.
//
// Names in a backup are any bytes. Printed as they are, they could move the cursor,
// change the title or feed the keyboard of a terminal, or break a log into
// false lines. Nothing that this package returns holds a control byte, a
// character that cannot be seen, or a byte that is not UTF-8; the line breaks
// of tables aside.
//
// The package is pure but for IsTerminal and Width.
package term
