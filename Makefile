# Thin aliases: what a target does stands in the commands and scripts that it calls.
# `make help` lists them.

CARGO ?= cargo
SHELL := bash

.DEFAULT_GOAL := help
.PHONY: help all bootstrap fmt lint doc verify package-check generate test test-unit test-integration test-contract build run dev demo \
        migrate-up migrate-down sqlc-gen docker-build docker-run docker-push release phase1-smoke phase2-smoke \
        conformance-bootstrap conformance-run conformance-smoke conformance-full conformance-region conformance-auth \
        conformance-workspace conformance-compute conformance-storage conformance-network conformance-foundation \
        conformance-foundation-core conformance-report ci ci-verify ci-unit ci-integration ci-contract ci-conformance ci-package \
        sim-clients check-go-sdk check-terraform check-walk bench bench-scale bench-spread metrics-overhead ci-docs check-report distil check-distillate soak mixed-releases

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 30

# -- the main job ----------------------------------------------------------------------------------------------

dev: ## Run everything in one process, with a simulated Hetzner Cloud: no other service needed
	$(CARGO) run -p secapi-proxy -- dev $(ARGS)

demo: ## Drive a running `make dev` as a user would; starts its own when nothing runs
	$(CARGO) run -p secapi-proxy --example demo -- $(ARGS)

run: ## Run the proxy with the settings of the environment (see README.md)
	$(CARGO) run -p secapi-proxy -- serve $(ARGS)

build: ## Build everything, optimised
	$(CARGO) build --workspace --release --locked

all: verify test build ## Check, test and build

# -- checks ----------------------------------------------------------------------------------------------------

bootstrap: ## Fetch the dependencies
	$(CARGO) fetch --locked

fmt: ## Format the code
	$(CARGO) fmt --all

lint: ## Clippy on everything, warnings are errors
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc: ## The documentation of the code, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

verify: ## Formatting, lints, documentation, and what dependencies bring in
	$(CARGO) fmt --all -- --check
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory doc
	scripts/verify-dependencies

test: ## All tests; nothing needs to be prepared but the PostgreSQL binaries
	scripts/test.sh

# `make test` tries sixty seeds of a cloud that fails, loses answers and is late, and kills an engine at each of thirty calls.
# Both take a minute.
test-unit: ## The tests of the libraries alone, with three seeds of the engine's chaos instead of sixty, and few kills
	SIMULATION_SEEDS=$${SIMULATION_SEEDS:-3} $(CARGO) test --workspace --lib --locked

test-integration: ## The store suite on every database, and the real binary against the simulator
	$(CARGO) test --locked -p persistence -p secapi-proxy

test-contract: ## The API through its router, and the wire types against the specification
	$(CARGO) test --locked -p api-server -p seca-api

sim-clients: ## The hcloud CLI and hcloud-python against the simulator
	scripts/check-sim-clients.sh

.PHONY: gateway-netns gateway-lab
gateway-netns: ## The internet gateway's texts on the real kernel, in network namespaces (docs/testing.md); Linux, GATEWAY_NETNS=skip
	scripts/gateway-netns

gateway-lab: ## The same with real systemd, cloud-init and DHCP in containers (docs/testing.md); Linux, root, ten minutes
	scripts/gateway-lab $(ARGS)

soak: ## Two replicas under kills, faults and other people's hands for SOAK_MINUTES (10), then a judgement (docs/testing.md)
	$(CARGO) run -q -p secapi-proxy --example soak -- $(ARGS)

mixed-releases: ## This release and the one before on one database for MIXED_MINUTES (5), taking over from it
	scripts/mixed-releases $(ARGS)

bench: ## What get, list and put cost beside a bare handler, on both databases (docs/benchmarks.md); needs wrk or oha
	scripts/bench

bench-scale: ## What pages and a start cost beside SCALE_ROWS rows (100,000), on both databases (docs/benchmarks.md)
	scripts/bench-scale

bench-spread: ## For how long work is due while SPREAD_PROJECTS projects (200) change, on two replicas (docs/benchmarks.md)
	scripts/bench-spread

metrics-overhead: ## What counting costs: processor time per request with metrics and without, by turns (ROUNDS, 20)
	scripts/metrics-overhead

check-go-sdk: ## The official Go SDK against everything, in two regions; needs Go
	scripts/check-go-sdk.sh $(ARGS)

check-terraform: ## examples/terraform with the SECA provider (TERRAFORM_PROVIDER=PATH), its round trip; needs terraform
	scripts/check-terraform

ci-docs: ## The pages of a running proxy in a headless Chromium, with a GET; needs chromium and chromedriver
	scripts/check-docs

.PHONY: check-gateway
check-gateway: ## examples/internet-gateway-e2e.sh against a proxy of its own; needs jq
	scripts/check-gateway

check-walk: ## The walk of examples/walk against a proxy of its own; needs jq
	scripts/check-walk

ci: verify test check-report demo ## What CI runs: each once, and a minute of soak
	$(MAKE) --no-print-directory gateway-netns
	@# A minute is too short to judge requests by the minute; `--test product requests` counts them, and so does make soak.
	SOAK_MINUTES=$${SOAK_MINUTES:-1} SOAK_COUNTS=$${SOAK_COUNTS:-0} $(MAKE) --no-print-directory soak

check-report: ## The committed report of the official tool against its list of scenarios, and how reports are read
	python3 -B -m unittest discover scripts/conformance_kit
	scripts/check-conformance-report

check-distillate: ## The facts that tests compare with against the original documents, where those are at hand
	scripts/distil-specifications --check

ci-verify: verify ## As verify
ci-unit: test-unit ## As test-unit
ci-integration: test-integration ## As test-integration
ci-contract: test-contract ## As test-contract

# -- database --------------------------------------------------------------------------------------------------

migrate-up: ## Migrate the database of SECA_DATABASE_URL to this release's schema
	$(CARGO) run -q -p secapi-proxy -- migrate up

migrate-down: ## Take the last migration of SECA_DATABASE_URL back (the first one takes all data along)
	$(CARGO) run -q -p secapi-proxy -- migrate down --yes

sqlc-gen: ## Nothing to generate any more: says why
	@echo "sqlc-gen: there is nothing to generate: queries are constant text in crates/persistence, and the store"
	@echo "suite runs every one of them on both databases (make test-integration)."

generate: ## Rewrite what is generated from the code: docs/reasons.md, docs/metrics.md and openapi/
	UPDATE_DOCS=1 $(CARGO) test -q --locked -p control-plane reason
	UPDATE_DOCS=1 $(CARGO) test -q --locked -p instruments --test page
	UPDATE_DOCS=1 $(CARGO) test -q --locked -p api-server --test docs the_pages_of_the_handbook
	UPDATE_DOCS=1 $(CARGO) test -q --locked -p seca-api --test openapi the_written_documents_are_current

package-check: ## Package every crate as a registry would get it, and build each from its package; not part of make ci
	scripts/package-check

distil: ## Rewrite the facts that tests compare with from the original documents (crates/specifications/README.md)
	scripts/distil-specifications

# -- packaging (needs a container engine) ----------------------------------------------------------------------

IMAGE ?= secapi-proxy-hetzner
TAG ?= dev

docker-build: ## Build the container image
	docker build -f deploy/Dockerfile -t $(IMAGE):$(TAG) .

docker-run: ## Run the container image with PostgreSQL (deploy/docker-compose.yml)
	docker compose -f deploy/docker-compose.yml up

docker-push: ## Push the container image
	docker push $(IMAGE):$(TAG)

# -- the official conformance tool (SECATEST names it; docs/conformance-testing.md) ----------------------------

conformance-bootstrap: ## Say which secatest and which running proxy the next targets would use
	scripts/conformance bootstrap

conformance-smoke: ## secatest against a running proxy: the region and workspace queries
conformance-region: ## As conformance-smoke: the region scenarios
conformance-auth: ## As conformance-smoke: the authorization scenarios
conformance-workspace: ## As conformance-smoke: the workspace scenarios
conformance-compute: ## As conformance-smoke: the compute scenarios
conformance-storage: ## As conformance-smoke: the storage scenarios
conformance-network: ## As conformance-smoke: the network scenarios
conformance-foundation: ## As conformance-smoke: everything but Usage
conformance-foundation-core: ## As conformance-smoke: the life cycles only
conformance-full: ## As conformance-smoke: everything
conformance-smoke conformance-region conformance-auth conformance-workspace conformance-compute conformance-storage \
conformance-network conformance-foundation conformance-foundation-core conformance-full:
	scripts/conformance run $(@:conformance-%=%)

conformance-run: ## As conformance-smoke: what CONFORMANCE_FILTER selects
	scripts/conformance run filter

conformance-report: ## Start everything on the simulator and run all of secatest under both reference policies
	scripts/conformance report

ci-conformance: conformance-report check-report ## As conformance-report, and check-report

# -- what the predecessor's users type --------------------------------------------------------------------------

release: ## Pack the optimised binaries into target/dist, with a checksum
	scripts/release

ci-package: release ## As release

phase1-smoke: ## Workspace, block storage, instance, start and stop, against a dev of its own or SECA_URL; needs jq
	scripts/phase-smoke 1

phase2-smoke: ## Network, route table, subnet and internet gateway, likewise
	scripts/phase-smoke 2
