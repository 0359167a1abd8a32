# Everything a contributor runs. `make test` is the one command: it installs what it needs and checks everything.
.DEFAULT_GOAL := help
.PHONY: help test test-large demo bench bench-quick fmt tools

help:
	@printf '%s\n' \
	  'make test   install the tools, check format, lints, spelling and licences, run every test' \
	  'make test-large  the tests that read large real packages, which it fetches (minutes)' \
	  'make demo   one release from CI to two registries; AUTO=1 lets headless browsers approve' \
	  'make bench  measure against the limit of this machine, Verdaccio and pypiserver; bench-quick: a look' \
	  'make fmt    format the code' \
	  'make tools  install what the tests need under .tools/'

test:
	@scripts/test.sh

test-large:
	@scripts/test-large.sh

demo:
	@scripts/demo.sh

bench:
	@scripts/bench.sh

bench-quick:
	@scripts/bench.sh quick

fmt:
	cargo fmt --all

tools:
	@scripts/tools.sh
