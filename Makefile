# Everything is plain go; these are names for it. docs/testing.md says what each target proves.
GO ?= go
FUZZTIME ?= 10s
# The program is linked without C (docs/decisions/0014-linked-without-c.md), and tested as it is built.
export CGO_ENABLED ?= 0

.PHONY: all build test demo race fuzz vet check docs bench long-tests interleavings install-test-tools kill-test syscall-test powercut-test bitflip-test soak repack cluster-test

all: build

build:
	$(GO) build -trimpath -o bin/snap ./cmd/snap

test: install-test-tools
	$(GO) test -timeout 30m ./...

# Two machines, a pull, an attacker, and everything back: docs/demo.sh, as root.
demo: install-test-tools
	@bash docs/demo.sh

install-test-tools:
	@.ci/install-test-tools

# The race detector is written in C.
race: export CGO_ENABLED = 1
race:
	$(GO) test -race -short -timeout 30m ./index ./repo ./internal/backup ./internal/agent ./internal/chunks ./internal/durable ./internal/pull \
		./internal/keyring ./internal/nss ./internal/restore ./internal/source/... ./internal/sshconn ./internal/store/... ./internal/target

fuzz:
	@.ci/fuzz $(FUZZTIME)

vet:
	@.ci/lint

check: test vet race fuzz

docs:
	$(GO) test ./cmd/snap -run TestReference -update

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./chunker ./pack ./index ./internal/...

# Full sizes of the tests that the suite runs scaled down; hours, not minutes.
long-tests:
	SNAP_LONG_TESTS=1 $(GO) test -timeout 6h ./...

# 10,000 simulated interleavings of backup, forget, undelete, prune and repair.
interleavings:
	SNAP_INTERLEAVINGS=10000 $(GO) test -timeout 6h -run Interleavings -v ./internal/simulation

# The program killed, its system calls failed, the power cut, bits flipped, a year gone by: full sizes (docs/testing.md).
kill-test:
	SNAP_LONG_TESTS=1 $(GO) test -timeout 3h -v -run 'TestKill$$' ./internal/crashtest

syscall-test:
	SNAP_LONG_TESTS=1 $(GO) test -timeout 6h -v -run TestSyscalls ./internal/crashtest

powercut-test:
	SNAP_LONG_TESTS=1 $(GO) test -timeout 6h -v -run TestPowerCut ./internal/crashtest

bitflip-test:
	SNAP_LONG_TESTS=1 $(GO) test -timeout 3h -v -run 'TestDamage|TestEveryTruncation' ./internal/crashtest

soak:
	SNAP_LONG_TESTS=1 $(GO) test -timeout 3h -v -run TestSoak ./internal/crashtest

# What prunes copy in 400 days, beside what restic's rule would copy. Repositories are in memory, which is collected often.
repack:
	GOGC=25 SNAP_LONG_TESTS=1 $(GO) test -timeout 2h -v -run TestCopiedInAYear ./repo

# A MinIO of four nodes on this machine, of which one is killed in the middle of backup, restore and prune. MinIO is built when it is not there, which takes minutes.
MINIO ?= $(shell $(GO) env GOPATH)/bin/minio

$(MINIO):
	$(GO) install github.com/minio/minio@latest

cluster-test: $(MINIO)
	SNAP_CLUSTER_TEST=$(MINIO) $(GO) test -timeout 1h -v -run TestCluster ./internal/crashtest
