package archtest

// packages lists every package of the module with those of the module that it may import. They come from the
// bottom up: a package may import only what stands above it here. Packages whose names end in test, and
// programs in folders called generate, serve tests and may import more.
const packages = `
internal/wire:
internal/nss:
internal/freelist:
internal/compress: internal/freelist
internal/seal:
internal/udiff:
internal/filter:
internal/guard:
internal/durable:
internal/retention:
internal/term:
internal/progress: internal/term
internal/record: internal/compress internal/wire
pack: internal/compress internal/seal internal/wire
chunker:
index: internal/wire pack
internal/parity: pack
internal/keyring: internal/seal pack
internal/sealed: internal/compress internal/record internal/seal pack
internal/jsonrecord:
internal/snapshot: internal/jsonrecord pack
internal/tree: internal/wire pack
internal/inode: internal/tree

internal/store:
internal/ratelimit: internal/store
internal/sshconn: internal/freelist internal/nss
internal/store/spool: internal/store
internal/store/mem: internal/store
internal/store/faulty: internal/store internal/store/mem
internal/store/cached: internal/store pack
internal/store/local: internal/durable internal/store
internal/store/sftp: internal/durable internal/sshconn internal/store internal/store/spool
internal/store/s3: internal/nss internal/store internal/store/spool

internal/source: internal/tree pack
internal/source/iofs: internal/source internal/tree
internal/source/stream: internal/source internal/tree
internal/source/local: internal/filter internal/inode internal/nss internal/source internal/tree
internal/source/sftp: internal/filter internal/source internal/tree
internal/target: internal/inode internal/tree
internal/protocol: chunker internal/compress internal/source internal/tree internal/wire pack

internal/chunks: index internal/compress internal/freelist internal/seal internal/sealed pack
internal/content:
internal/source/dump: internal/source
internal/source/agent: chunker internal/protocol internal/source internal/source/stream internal/tree pack
internal/agent: chunker internal/content internal/filter internal/protocol internal/source internal/source/dump internal/source/local internal/source/stream internal/tree
internal/backup: chunker internal/chunks internal/content internal/freelist internal/source internal/tree pack
internal/restore: index internal/chunks internal/filter internal/target internal/tree pack
internal/check: index internal/compress internal/seal internal/tree pack
internal/prune: index internal/chunks internal/seal internal/tree pack
internal/inspect: index internal/chunks internal/keyring internal/seal internal/sealed internal/store pack

repo: chunker index internal/backup internal/check internal/chunks internal/compress internal/filter internal/jsonrecord internal/keyring internal/nss internal/parity internal/prune internal/record internal/restore internal/retention internal/seal internal/sealed internal/snapshot internal/source internal/source/iofs internal/source/local internal/source/stream internal/store internal/store/cached internal/store/local internal/store/s3 internal/store/sftp internal/tree pack
internal/config: internal/filter
internal/enrol: internal/sshconn
internal/pull: chunker internal/config internal/enrol internal/filter internal/guard internal/protocol internal/snapshot internal/source internal/source/agent internal/source/dump internal/source/local internal/source/sftp internal/source/stream internal/sshconn internal/tree repo
cmd/snap: index internal/agent internal/config internal/enrol internal/filter internal/guard internal/inspect internal/keyring internal/nss internal/progress internal/protocol internal/pull internal/ratelimit internal/retention internal/snapshot internal/source/agent internal/source/local internal/source/sftp internal/sshconn internal/term internal/tree internal/udiff pack repo

internal/verifier:
internal/verifier/snapverify: internal/verifier

internal/archtest:
internal/dbtest:
internal/torturetest:
internal/vectortest:
internal/memorytest:
internal/looptest:
internal/proxytest:
internal/s3test: internal/proxytest
internal/crashtest: internal/verifier
internal/simulation:
internal/sshdtest: internal/sshconn
internal/sftptest:
internal/agenttest:
repo/sourcetest: internal/source internal/tree
repo/storetest:
internal/goldentest:
internal/vectortest/generate: internal/vectortest
internal/goldentest/generate: internal/goldentest internal/keyring internal/verifier repo
`

// outside lists imports from outside the module that only some packages may have: a path, or a path and all
// below it, and who. What is not listed here is free if it is of the standard library, and forbidden if not. The
// first line that fits counts. Packages for tests are not asked about the standard library.
const outside = `
# The operating system. All that depends on it is in a few places; formats and rules are pure.
os/user:
os: internal/agent internal/config internal/pull internal/enrol index internal/durable internal/filter internal/nss internal/restore internal/source/iofs internal/source/stream internal/sshconn internal/store/cached internal/store/local internal/store/s3 internal/store/sftp internal/store/spool internal/target internal/term internal/verifier internal/verifier/snapverify repo cmd/snap
syscall: internal/agent internal/pull internal/durable internal/source/stream internal/sshconn internal/store/local internal/store/s3 internal/store/sftp repo cmd/snap
unsafe: internal/agent internal/inode internal/target
golang.org/x/sys: chunker internal/agent internal/pull index internal/durable internal/inode internal/restore internal/source/local internal/source/stream internal/target internal/torturetest internal/looptest internal/goldentest/generate cmd/snap
golang.org/x/term: internal/term cmd/snap
github.com/hanwen/go-fuse/v2: cmd/snap

# Keys and randomness.
crypto: internal/durable internal/enrol internal/keyring internal/pull internal/seal internal/snapshot internal/sshconn internal/store/s3 internal/store/sftp internal/target internal/verifier pack repo
filippo.io/age: internal/keyring internal/verifier internal/goldentest/generate cmd/snap
golang.org/x/crypto/chacha20poly1305: internal/keyring internal/seal internal/verifier internal/vectortest/generate
golang.org/x/crypto/ssh: internal/enrol internal/keyring internal/sshconn internal/sshdtest cmd/snap
github.com/zeebo/blake3: internal/agent internal/agenttest internal/source/agent index internal/check internal/chunks internal/keyring internal/parity internal/seal internal/snapshot internal/store/cached internal/tree internal/vectortest/generate internal/verifier pack

# Compression, and what mends.
compress:
github.com/klauspost/compress: internal/compress internal/verifier
github.com/klauspost/reedsolomon: internal/parity
github.com/restic/chunker: chunker

# The network.
net/url: internal/sshconn internal/store/s3 internal/store/sftp repo
net: internal/nss internal/sshconn internal/store/s3
github.com/pkg/sftp: internal/store/sftp
github.com/minio/minio-go/v7: internal/s3test internal/store/s3

# Goroutines, and the command line.
golang.org/x/sync: internal/agent internal/pull internal/backup internal/check internal/chunks internal/prune internal/restore internal/store/s3 repo
github.com/spf13: cmd/snap
go.yaml.in/yaml/v3: internal/agent internal/config internal/enrol

# Tests.
testing:
github.com/google/go-cmp:
github.com/rogpeppe/go-internal:
`
