// Package s3 keeps a store in a bucket of an object storage that speaks S3.
//
// A file data/3f/3f2a is the object PREFIX/data/3f/3f2a. Nothing is ever
// overwritten with other bytes, and no operation but Remove and Delete deletes:
// credentials without the right to delete or overwrite are enough for all else.
//
// # Creating
//
// An object is put with If-None-Match, so that of two writers of one name one
// is told. Not every server heeds that, and none has to: names are unique, and
// what rests on the answer is only that an accident is noticed. Until a server
// has shown that it heeds the condition, the name is looked at first. To learn
// it, the first small object is put a second time, which has to be refused.
//
// Each object carries a random number of the call that put it. If the answer to
// a request is lost, the number tells whether the earlier try won. Each request
// with data carries the SHA-256 of it, in its signature and as a checksum, so
// that the server refuses what was damaged on the way. Objects larger than a
// part go up in parts.
//
// # Failures
//
// Requests that fail for a reason that may pass are made again, for as long as
// Options.RetryFor. A connection on which nothing moves for Options.Timeout is
// given up. A range of which only the first part came is continued.
//
// # Credentials
//
// They are looked for where AWS's own tools do: the variables AWS_ACCESS_KEY_ID
// and AWS_SECRET_ACCESS_KEY, a profile in ~/.aws/credentials (AWS_PROFILE,
// AWS_SHARED_CREDENTIALS_FILE), a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and
// AWS_ROLE_ARN), and the roles of containers and instances.
package s3
