// Package sftptest is an SFTP server for tests that lies. It has a wire encoder of its own. By itself it shows a small tree
// in memory as OpenSSH would; a test says which answers are others. Tap counts the requests of a client.
package sftptest
