# cidx-cluster. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.build/bin:$(PATH)
export CGO_ENABLED := 0
export GOTOOLCHAIN := local

E2E_TIMEOUT ?= 40m
GOTEST := gotestsum --format standard-quiet --

.PHONY: help setup modules tools lint unit scenarios test demo lab lab-full lab-nfs bench bench-database bench-files bench-downtime bench-become collection release systems clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r target text; do printf '  %-16s %s\n' "$$target" "$$text"; done

setup: ## Install what is missing on this machine: Debian packages, Go
	@build/setup.sh core

modules: ## Build the helper for linux/amd64 and linux/arm64 into files/; needs Go and git alone
	@build/setup.sh modules
	@build/helper.sh

tools: setup ## Build the programs of the tests (sandbox, seed, stand-in, judge) into .build/bin
	@go build -o .build/bin ./e2e/cmd/...

lint: modules ## gofmt, go vet, staticcheck, ansible-lint (production), yamllint
	@build/setup.sh core lint
	@build/lint.sh

test: modules tools lint ## Everything: lint, unit tests, scenarios, lab. The last line counts them
	@build/setup.sh test
	@build/setup.sh lab || echo 'test: the lab cannot be set up on this machine'
	@$(GOTEST) -count=1 -timeout $(E2E_TIMEOUT) ./...

unit: modules ## The unit tests of the modules alone
	@build/setup.sh core test
	@$(GOTEST) ./modules/... ./e2e/seed/... ./e2e/judge/... ./e2e/standin/...

scenarios: modules tools ## Every scenario of e2e/testdata, also those that make test leaves out, and the demo in a terminal; RUN=pattern picks some
	@build/setup.sh test
	@LAB=full $(GOTEST) -count=1 -timeout $(E2E_TIMEOUT) -run '$(if $(RUN),TestScenarios/$(RUN),^(TestScenarios|TestTheDemo)$$)' ./e2e

demo: setup ## Migrate a realistic standalone server on this machine and show it; README=1 puts the transcript into README.md
	@build/helper.sh "$$(go env GOHOSTARCH)"
	@go build -o .build/bin/ ./e2e/cmd/cidx-sandbox ./e2e/cmd/cidx-standin ./e2e/cmd/cidx-judge
	@e2e/demo.sh $(if $(README),--readme)

lab: modules tools ## Real systemd nodes, SSH, TLS, two nodes, the chief faults
	@build/setup.sh test lab
	@$(GOTEST) -count=1 -timeout 60m ./e2e/lab/...

lab-full: modules tools ## The lab with every fault, resumed and rolled back, and the newest ansible-core; LAB_DOC=1 writes docs/faults.md
	@build/setup.sh test lab
	@LAB=full $(GOTEST) -count=1 -timeout 180m ./e2e/lab/...

lab-nfs: modules ## Migrate onto a true NFS share in an emulated machine: squash, id mapping, outages; LAB_DOC=1 writes docs/nfs.md
	@build/setup.sh core test nfs
	@LAB=nfs $(GOTEST) -count=1 -timeout 60m ./e2e/nfs/...

bench: bench-database bench-files bench-downtime bench-become ## All benchmarks

bench-database: modules tools ## The database step against its peers, in one run
	@build/setup.sh bench
	@go run ./bench/database

bench-files: modules tools ## The file copy against its peers, in one run
	@build/setup.sh bench
	@go run ./bench/files
	@go run ./bench/files -memory 1000000

bench-become: ## What a module call costs more where root becomes the server's user for it
	@build/helper.sh "$$(go env GOHOSTARCH)"
	@go run ./bench/become

bench-downtime: modules tools ## Which share of a whole migration of 200,000 files and 10^6 rows the server stands still
	@go run ./bench/files -downtime

collection: modules ## Build cidx-cluster-<version>.tar.gz with the helper for both architectures into .build/collection
	@build/setup.sh collection
	@go run ./build/release

release: collection ## The collection with licences, bill of materials and SHA256SUMS, and the checks that take longer
	@build/check-release.sh

systems: ## Build the collection and run the demo on a fresh Debian 13, with the newest ansible-core and PostgreSQL 18, and on a system that is not Debian
	@build/check-systems.sh

clean: ## Remove everything built and every sandbox left over
	@if [ -x .build/bin/cidx-sandbox ]; then .build/bin/cidx-sandbox sweep; fi
	@if [ -x .build/bin/cidx-lab ]; then .build/bin/cidx-lab sweep; fi
	@rm -rf .build
