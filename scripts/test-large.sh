#!/usr/bin/env bash
# Fetches the large real packages, each pinned by its digest, and runs the tests that `make test` leaves out because
# they need them. Arguments go to `cargo nextest run`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh large
tools=${COUNTERSIGN_TOOLS:-$PWD/.tools}
# Ours come last: a tool the machine already has is used.
export PATH="$PATH:$tools/bin:$tools/python/bin"
cargo nextest run --locked --offline --profile large "$@"
