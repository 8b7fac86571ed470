# The commands for developers and CI. `make try` and `make test` do their own setup. `make help` prints each
# target with the text after its ##.

GO ?= go
BINARY := bin/gitlab-sysbox-executor
LOW := # what puts the linters behind other work

.PHONY: announce help build package try configuration messages vuln test test-unit test-integration test-whole test-engine-29 test-cgroup2 test-sysbox test-hostile test-disk test-layers test-package test-kubernetes image fuzz test-lies test-output bench bench-layers bench-jobs bench-output bench-storage lint packages clean

build: ## Build bin/gitlab-sysbox-executor, one static binary
	GO=$(GO) scripts/build.sh $(BINARY)

package: ## Build dist/: .deb, .rpm and a tarball for amd64 and arm64, checksums, lists of modules
	rm -rf dist
	GO=$(GO) scripts/package.sh dist

help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

try: ## Run a job that really builds an image, on this machine
	@scripts/try.sh

# The integration tests start a Docker Engine of their own. They often wait for it and for containers: the
# linters, at a lower priority, use that time.
test: announce packages test-unit ## Run all tests and linters, as CI does
	@$(MAKE) --no-print-directory -j2 LOW=nice lint test-integration

announce:
	@scripts/engine.sh runtime

packages:
	scripts/packages.sh race

lint: ## Run gofmt, go vet and staticcheck
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(LOW) $(GO) vet ./...
	$(LOW) $(GO) tool staticcheck ./...

# The race detector multiplies the memory and the time of tests that bound the memory of large inputs.
LARGE := TestPayloadIsBounded|TestPickIsBounded|TestPreludeIsBounded|TestHostileLabelsInLists
test-unit: ## Run the unit tests
	$(GO) test -race -skip '$(LARGE)' $$($(GO) list ./... | grep -vxF "$$(GO=$(GO) scripts/integration.sh packages)")
	$(GO) test -run '$(LARGE)' ./executor/engine ./stages/contract ./stages/script

# Slow matrices are tried in a smaller form.
test-integration: ## Run the integration tests
	GO=$(GO) scripts/integration.sh -race -parallel 4 -count=1 -timeout 60m -v

test-whole: packages ## Run the integration tests with every case of the slow matrices
	GSX_WHOLE=1 GO=$(GO) scripts/integration.sh -race -parallel 4 -count=1 -timeout 60m -v

test-engine-29: packages ## Run the integration tests on a Docker Engine 29, built from its module
	DOCKERD=$$(scripts/engine29.sh) GSX_ENGINE_DIR=$$(scripts/engine.sh place)-29 GO=$(GO) scripts/integration.sh -race -parallel 3 -count=1 -timeout 60m -v

# Where cgroup v1 is mounted, it is unmounted for this time. Where other programs use it, the tests run in a virtual
# machine (scripts/uml.sh), where they take several times as long.
test-cgroup2: packages ## Run the integration tests where control groups are version 2
	GSX_ENGINE_DIR=$$(scripts/engine.sh place)-cgroup2 GO=$(GO) scripts/cgroup2.sh scripts/integration.sh -race -parallel 2 -count=1 -timeout 6h -v

# Sysbox must be installed and running.
test-sysbox: ## Run the integration tests under the real Sysbox
	@scripts/engine.sh sysbox
	GSX_WHOLE=1 GSX_ENGINE_DIR=$$(scripts/engine.sh place)-sysbox GO=$(GO) scripts/integration.sh -race -parallel 3 -count=1 -timeout 60m -v

# On the stand-in, or under the real Sysbox if it runs. Afterwards: how long a job takes next to hostile ones.
test-hostile: packages ## Run the attacks of docs/security.md
	$(GO) test -race -count=1 -run '^TestHostile' $$($(GO) list ./... | grep -v /integration/)
	GSX_WHOLE=1 $(GO) test -parallel 3 -count=1 -timeout 60m -v -run '^TestHostile' -bench BenchmarkHostileNeighbours -benchtime 5x ./integration/hostile

# Forty jobs write 80 GiB to a disk of 20 GiB; `make test` does less than a fortieth of that, with eight
# jobs. It needs 30 GiB of free space, and at least ten minutes.
test-disk: packages ## Fill a disk of 20 GiB four times over
	GSX_FULL_DISK=1 $(GO) test -count=1 -timeout 120m -v -run TestHostileDiskFillsUp ./integration/hostile

# `make test` has 4 rounds and a small disk. It needs 30 GiB of free space, and an hour.
test-layers: packages ## Kill drivers in 200 builds with kept storage volumes, and fill a disk of 20 GiB with such volumes
	GSX_WHOLE=1 $(GO) test -count=1 -timeout 150m -v -run 'Layers|Kept|StorageIsNotKept|KillMatrixOfKept|OtherTools' ./integration/storage
	GSX_WHOLE=1 $(GO) test -count=1 -timeout 60m -v -run KillMatrixKept ./integration/removal
	GSX_FULL_DISK=1 $(GO) test -count=1 -timeout 120m -v -run TestHostileKeptStorage ./integration/hostile

# In a Debian 13 with systemd and an engine of its own, where a stand-in takes the place of Sysbox. `make test` installs the .deb into a Debian without systemd.
test-package: packages ## Test the packages: first job by the README alone, upgrade while a job runs, removal
	GSX_PACKAGE=1 GO=$(GO) $(GO) test -count=1 -timeout 60m -v ./integration/packages

# The cluster's programs are built from Go modules the first time: 8 to 17 minutes of processor time.
test-kubernetes: ## Test the backend for Kubernetes on a cluster of one node
	scripts/packages.sh race kubernetes
	GSX_KUBERNETES=1 GO=$(GO) $(GO) test -race -count=1 -timeout 60m -v ./integration/kubernetes

image: ## Write the image of the agent for Kubernetes to dist/agent-image.tar
	mkdir -p dist
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o dist/agent ./cmd/agent
	$(GO) run ./cmd/agentimage dist/agent dist/agent-image.tar
	rm dist/agent

# 10 million inputs each take hours; `make fuzz FUZZ=100000x ONLY=agentclient` takes minutes.
FUZZ ?= 10000000x
ONLY ?=
fuzz: ## Run every fuzz target of the repository
	scripts/fuzz.sh "$(FUZZ)" "$(ONLY)"

# `make test` tries some of them.
test-lies: packages ## Test every fault of a lying engine at every call
	GSX_ALL_LIES=1 $(GO) test -count=1 -timeout 80m -v -run TestLyingEngine ./integration/removal

# `make test` runs as many as a minute suffices for, and a reader that is slow. The benchmark counts what each isolation loses, in hours.
test-output: packages ## Run `buildah run` 2,000 times beside two busy loops: no output may be lost
	GSX_WHOLE=1 GSX_OUTPUT_RUNS=2000 $(GO) test -count=1 -parallel 1 -timeout 6h -v -run TestBuildahLosesNoOutput ./integration/cases

configuration: ## Write docs/configuration.md from config.example.toml and the code
	$(GO) run ./cmd/configreference >docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md

messages: ## Write docs/troubleshooting.md from the messages in the code
	$(GO) run ./cmd/messages >docs/troubleshooting.md.new && mv docs/troubleshooting.md.new docs/troubleshooting.md

# It needs the database at vuln.go.dev, which not every machine reaches: `make test` does not run it.
vuln: ## Look for known vulnerabilities in the modules that the code uses
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

bench-output: packages ## Measure what each isolation of Buildah loses: the table of docs/cases/buildah.md
	$(GO) test -run '^$$' -bench BenchmarkBuildahIsolations -benchtime 1x -timeout 24h -v ./integration/cases

bench-storage: packages ## Measure what storage costs: the figures of docs/storage.md
	$(GO) test -run '^$$' -bench 'BenchmarkStorage|BenchmarkVolumes' -benchtime 1x -timeout 80m -v ./integration/storage

bench-layers: packages ## Measure builds with layers of an earlier job: the table of docs/layers.md
	$(GO) test -run '^$$' -bench BenchmarkLayers -benchtime 1x -timeout 80m -v ./integration/storage

bench-jobs: packages ## Measure jobs beside the floor: the table of docs/performance.md
	$(GO) test -run '^$$' -bench BenchmarkJobs -benchtime 10x -timeout 80m -v ./integration/jobs

bench: ## Measure what a stage call costs, beside a plain exec
	$(GO) test -run '^$$' -bench BenchmarkRunEmptyScript -benchtime 30x -count 3 ./integration/jobs

clean: ## Stop the tests' engine and remove it, the binary and the cache
	scripts/engine.sh stop "$$(scripts/engine.sh place)"
	rm -rf bin "$$(scripts/engine.sh place)" .cache
