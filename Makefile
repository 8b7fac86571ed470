# What people and CI run. `make try` and `make test` do all their own set-up.

GO ?= go
BINARY := bin/gitlab-sysbox-executor
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: announce build try test test-unit test-integration test-engine-29 test-sysbox test-lies bench bench-storage lint packages clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X gitlab-sysbox-executor/stages.Version=$(VERSION)' -o $(BINARY) .

# A job that really builds an image, on this machine.
try:
	@scripts/try.sh

# All tests. The integration tests start a Docker Engine of their own.
test: announce packages lint test-unit test-integration

announce:
	@scripts/engine.sh runtime

packages:
	scripts/packages.sh race

lint:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

test-unit:
	$(GO) test -race $$($(GO) list ./... | grep -v /integration$$)

test-integration:
	$(GO) test -race -parallel 8 -count=1 -timeout 60m -v ./integration

# The same integration tests on a Docker Engine 29, built from its module.
test-engine-29: packages
	DOCKERD=$$(scripts/engine29.sh) GSX_ENGINE_DIR=$$(scripts/engine.sh place)-29 $(GO) test -race -parallel 8 -count=1 -timeout 60m -v ./integration

# The same integration tests under the real Sysbox, which must be installed and running.
test-sysbox:
	@scripts/engine.sh sysbox
	GSX_ENGINE_DIR=$$(scripts/engine.sh place)-sysbox $(GO) test -race -parallel 8 -count=1 -timeout 60m -v ./integration

# Every fault of a lying engine at every call; `make test` tries some of them.
test-lies: packages
	GSX_ALL_LIES=1 $(GO) test -count=1 -timeout 80m -v -run TestLyingEngine ./integration

# What storage costs: the figures of docs/storage.md.
bench-storage: packages
	$(GO) test -run '^$$' -bench 'BenchmarkStorage|BenchmarkVolumes' -benchtime 1x -timeout 80m -v ./integration

# What a stage call costs, beside a plain exec.
bench:
	$(GO) test -run '^$$' -bench BenchmarkRunEmptyScript -benchtime 30x -count 3 ./integration

clean:
	scripts/engine.sh stop "$$(scripts/engine.sh place)"
	rm -rf bin "$$(scripts/engine.sh place)" .cache
