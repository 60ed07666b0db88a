# Routinely. `make help` lists the targets. Only Go and make are needed.

GO ?= go
BIN := .local/bin
FUZZTIME ?= 5s
# The functions are built as they are deployed: static, without paths and symbols.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w'
# The race detector needs a C compiler.
RACE := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# A reader of openapi.yaml that is not ours; it runs where there is npx (Node.js 18.18 or later).
SPECTRAL := @stoplight/spectral-cli@6.16.3

.PHONY: help run demo test sim mutants soak bench fuzz lint dist application release deploy rollback undeploy build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A package that is in Go's cache is not stale; this one takes longest.
LARGEST := github.com/alibabacloud-go/esa-20240910/v2/client

build: ## build the functions, the local servers and the command line tool into .local/bin
	@mkdir -p $(BIN)
	@[ "$$(GOPROXY=off CGO_ENABLED=0 $(GO) list -trimpath -f '{{.Stale}}' $(LARGEST) 2>/dev/null)" = false ] || \
	  echo "The first build takes some minutes: it fetches and compiles the SDKs. Later ones take seconds." >&2
	@$(BUILD) -o $(BIN)/accept ./functions/accept/main
	@$(BUILD) -o $(BIN)/provision ./functions/provision/main
	@$(BUILD) -o $(BIN)/notify ./functions/notify/main
	@$(BUILD) -o $(BIN)/janitor ./functions/janitor/main
	@$(GO) build -o $(BIN)/local ./deploy/local
	@$(GO) build -o $(BIN)/routinely ./cmd/routinely

run: build ## run everything on this machine until Ctrl-C; SHORT=1 lets routines expire within minutes
	@$(BIN)/local run $(if $(SHORT),-short) $(ARGS)

demo: build ## submit a file of requests with faults injected, and check what became of each
	@$(BIN)/local demo $(ARGS)

# Many tests wait, for a disk or another process, so three packages run at a time on two cores. The race detector would sleep for a
# second at the end of each.
test: ## run all tests, of the long ones a choice
	GORACE=atexit_sleep_ms=50 $(GO) test $(RACE) -short -shuffle=on -p 3 ./...

# One process uses one processor: the seeds are shared among as many as there are.
PARTS := $(shell getconf _NPROCESSORS_ONLN)

sim: ## try to break the pipeline from SEEDS=500 seeds; SEED=n replays one and prints its trace
ifdef SEED
	$(GO) test -count=1 -v -run TestSeeds ./deploy/sim/seeds
else
	$(GO) test -c -o $(CURDIR)/.local/seeds.test ./deploy/sim/seeds
	cd deploy/sim/seeds && seq $(PARTS) | xargs -P $(PARTS) -I {} env PART={}/$(PARTS) $(CURDIR)/.local/seeds.test -test.run TestSeeds -test.timeout 5h
endif

mutants: ## check that the simulation finds each of the defects in deploy/sim/seeds/testdata/mutants
	MUTANTS="$(or $(MUTANTS),.)" $(GO) test -count=1 -v -timeout 5h -run TestMutants ./deploy/sim/seeds

soak: ## run the long tests whole: a kill at every call, and SOAK_JOBS=10000 jobs
	$(GO) test -v -count=1 -timeout 60m -run 'KillMatrix|Soak' ./deploy/local
	$(GO) test -count=1 -shuffle=on ./functions/... ./shared/ledger ./cmd/routinely

fuzz: ## fuzz every target for some seconds each
	@grep -rl --include=*_test.go '^func Fuzz' . | sort | while read -r file; do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z]+)\(.*/\1/p' $$file); do \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x $$(dirname $$file) || exit 1; \
	  done; done

bench: ## measure, as ratios against a floor or a peer in the same run
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./deploy/local/bench ./functions/accept ./functions/accept/main ./shared/ledger
	$(GO) test -run '^$$' -bench . ./deploy/local/mnsemu ./deploy/local/otsemu

lint: ## check formatting, imports and style (.golangci.yml), go.mod, and openapi.yaml if npx is there
	$(GO) mod tidy -diff
	$(GO) run $(GOLANGCI) run
	@if command -v npx >/dev/null; then \
	  npx --yes $(SPECTRAL) lint --quiet --fail-severity=warn --ruleset functions/accept/spectral.yaml functions/accept/openapi.yaml; \
	else echo "openapi.yaml is NOT checked: Spectral needs npx, which comes with Node.js (Debian: apt-get install nodejs npm)"; fi
	$(GO) test -count=1 -run '^TestWords$$' ./deploy # the words of deploy/testdata/words.txt

dist: ## build the four function zips into dist
	$(GO) run ./deploy/pack -out dist

application: ## build an application of Serverless Devs into dist/application.zip
	$(GO) run ./deploy/pack -out dist -application

release: ## make the files of a release: VERSION=v0.2.0, which must be a tag of the commit
	@$(GO) run ./deploy/release $(VERSION)

# ENV names a file of settings: deploy/environments/staging.env for ENV=staging.
deploy: ## set up and deploy ENV=staging, and send a job the whole way
rollback: ## deploy an older commit that is checked out to ENV=staging, accept first
undeploy: ## remove the functions, queues and tables of ENV=staging: CONFIRM=staging
deploy rollback undeploy:
	@$(GO) build -o $(BIN)/routinely ./cmd/routinely
	@$(GO) run ./deploy/rollout $@ $(ENV)

clean: ## remove what was built and the local state, unless it is in use
	@for pid in $$(ls .local/running 2>/dev/null); do \
	  if kill -0 $$pid 2>/dev/null; then \
	    echo "Process $$pid runs Routinely with what is in .local. Stop it first: Ctrl-C where it was started, or kill $$pid." >&2; exit 1; \
	  fi; \
	done
	rm -rf .local dist
