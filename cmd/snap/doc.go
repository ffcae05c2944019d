// Command snap keeps deduplicated, encrypted backups.
//
// It is a thin client of package repo: each file named after a command parses its flags,
// calls the library, prints, and returns an error. One function turns errors into exit
// codes, and only main exits. Results go to standard output, all else to
// standard error; with --json both are JSON lines. What the program works with (arguments,
// streams, environment) comes in as a value, so that tests run it in their own process.
package main
