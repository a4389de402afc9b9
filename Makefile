# Sluice: build, test, lint, demo. `make help` lists the targets.
#
# Needed: Go 1.26 and make. The race detector wants a C compiler; the tests
# against a real Apache Kafka want a JDK of 17 or newer, Maven and Python 3; the
# benches want HAProxy. What is
# missing is skipped with a loud line; with CI set it is a failure.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS    = -s -w -X main.version=$(VERSION)
TESTFLAGS ?=

# How long each fuzz target runs in `make test` and in `make fuzz`, and how long
# `make soak` goes on.
FUZZ_SHORT ?= 5s
FUZZ_LONG  ?= 10m
SOAK       ?= 1h

# REAL needs a real Kafka, HAProxy, and the built binary; UNIT is everything else.
REAL = ./bench/compare/... ./bench/gateway/... ./bench/kafka/... ./bench/matrix/... ./bench/quota/...
UNIT = $(filter-out $(shell $(GO) list $(REAL)),$(shell $(GO) list ./...))

# Where benches leave figures and plots, and how often micro-benchmarks run for benchstat.
BENCH_DIR   ?= bin/bench
BENCH_COUNT ?= 10

LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)

# $(call stage,name) prints the name and, when the command after it is done, its time.
stage = echo "== $(1)"; TIMEFORMAT="== $(1): %0lR"; time

# $(call need,commands,what) succeeds if all commands are there. If one is
# missing it says so and fails, with CI set for good (exit), else for `if`.
need = need() { \
	  for c in $(1); do \
	    if ! command -v $$c >/dev/null 2>&1; then \
	      echo "*** $$c is missing: $(2)" >&2; \
	      if [ -n "$${CI:-}" ]; then echo "*** CI is set, so this is a failure" >&2; exit 1; fi; \
	      echo "*** SKIPPED: $(2)" >&2; \
	      return 1; \
	    fi; \
	  done; \
	}; need

# $(call fuzz,time) runs every fuzz target of the repository for that time.
fuzz = grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . \
	  | sed -E 's|^(\./.*)/[^/]+:func (Fuzz[A-Za-z0-9_]*)\(.*|\1 \2|' | sort \
	  | while read -r pkg target; do \
	      echo "-- $$pkg $$target"; \
	      $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(1) -fuzzminimizetime 5s -timeout 0 "$$pkg" </dev/null; \
	    done

.PHONY: help demo build test unit race fuzz-short real bench bench-full bench-micro lint fmt readme fuzz soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-11s %s\n", $$1, $$2}'

demo: ## two embedded clusters, the gateway and a few tenants; Ctrl-C ends it
	@$(GO) run ./cmd/sluice demo $(DEMO)

build: ## the static binary bin/sluice
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/sluice ./cmd/sluice

test: unit race fuzz-short real ## everything: unit, race, a short fuzz run, real Kafka

unit: ## unit, golden, property and simulation tests, and the fuzz seeds
	@$(call stage,unit) $(GO) test -count=1 -timeout 10m $(TESTFLAGS) $(UNIT)

race: ## the same under the race detector
	@if $(call need,$${CC:-gcc},the tests under the race detector; they want a C compiler); then \
	  $(call stage,race) CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 15m $(UNIT); \
	fi

fuzz-short: ## each fuzz target for FUZZ_SHORT (default 5s)
	@$(call stage,fuzz) { $(call fuzz,$(FUZZ_SHORT)); }

real: ## the tests against a real Apache Kafka
	@if $(call need,java javac mvn python3,the tests against a real Apache Kafka); then \
	  $(call stage,real Kafka) $(GO) test -p 1 -count=1 -timeout 30m $(TESTFLAGS) $(REAL); \
	fi

bench: ## Sluice beside HAProxy and nothing, in under 5 minutes; see bench/README.md
	@if $(call need,haproxy,the bench; it compares with HAProxy); then \
	  $(call stage,bench) $(GO) run ./bench/compare --quick --json $(BENCH_DIR)/quick.json --svg $(BENCH_DIR)/quick $(BENCH); \
	fi

bench-full: ## everything, with a real Kafka: an hour or more
	@if $(call need,haproxy java javac mvn,the whole bench; it needs HAProxy and a real Kafka); then \
	  $(call stage,bench) $(GO) run ./bench/compare --json $(BENCH_DIR)/full.json --svg $(BENCH_DIR)/full $(BENCH); \
	  $(call stage,quota) $(GO) run ./bench/quota --json $(BENCH_DIR)/quota.json --svg $(BENCH_DIR)/full; \
	fi

bench-micro: ## the Go benchmarks of walker, limiter, rules and look-ups, for benchstat
	@mkdir -p $(BENCH_DIR)
	$(GO) test -run '^$$' -bench . -count $(BENCH_COUNT) ./protocol ./limiter ./proxy/... | tee $(BENCH_DIR)/micro.txt

lint: $(LINT) ## golangci-lint, and no path of one machine in the tree
	@.ci/paths
	@$(call stage,lint) $(LINT) run ./...

fmt: $(LINT) ## format as lint wants it
	$(LINT) fmt ./...

readme: ## write README's table of APIs from the code
	$(GO) test -count=1 ./protocol -run '^TestReadmeTable$$' -update

# Takes about two minutes on two cores, once.
$(LINT):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@

fuzz: ## each fuzz target for FUZZ_LONG (default 10m)
	@$(call stage,fuzz) { $(call fuzz,$(FUZZ_LONG)); }

# Seeds and orders differ from round to round; the first failure ends it.
soak: ## simulation (with race detector) and real tests, again and again for SOAK (default 1h)
	@t=$(SOAK); case $$t in \
	  *h) left=$$(($${t%h} * 3600));; *m) left=$$(($${t%m} * 60));; *) left=$${t%s};; esac; \
	end=$$((SECONDS + left)); round=1; \
	while [ $$SECONDS -lt $$end ]; do \
	  echo "== soak: round $$round, $$((end - SECONDS)) s left"; \
	  $(GO) test -race -shuffle=on -count=1 -timeout 15m ./limiter/... ./proxy/...; \
	  $(MAKE) --no-print-directory real; \
	  round=$$((round + 1)); \
	done

clean: ## what was built
	rm -rf bin
