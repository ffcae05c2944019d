// Package s3test runs versitygw for tests: an S3 server on a plain folder, with
// keys of its own, behind a proxy that can break, and with nothing that
// outlives the test.
package s3test
