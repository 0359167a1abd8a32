#!/usr/bin/env bash
# One release from CI to two registries. With AUTO=1, or without a terminal, headless browsers play the people.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh demo
cargo build --quiet --locked --bin countersign
cargo build --quiet --locked -p countersign-e2e --bin demo
[ -t 0 ] && [ -t 1 ] || AUTO=1
export AUTO=${AUTO:-0}
exec "${CARGO_TARGET_DIR:-target}/debug/demo"
