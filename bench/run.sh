#!/usr/bin/env bash
# run.sh [quick] [OPTIONS]: builds the gateway and the load programs, installs the peers, measures, prints the table.
# `make bench` is everything (about 40 minutes on 2 cores), `make bench-quick` a look (about 5).
# OPTIONS go to bench.py, such as --only limit-npm,gateway-npm.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh
export COUNTERSIGN_TOOLS=${COUNTERSIGN_TOOLS:-$PWD/.tools}

cargo build --release --locked --bin countersign
(cd bench/rust && cargo build --release --locked --target-dir target)
target=${CARGO_TARGET_DIR:-target}
COUNTERSIGN_BIN=$(realpath "$target/release/countersign")
export COUNTERSIGN_BIN BENCH_BIN=$PWD/bench/rust/target/release

size=(--sizes 10kb,1mb,20mb,100mb --concurrency 1,8,32 --rounds 3)
if [ "${1:-}" = quick ]; then
    shift
    size=(--sizes 10kb,20mb --concurrency 8 --rounds 1)
fi
mkdir -p bench/results
results=bench/results/$(date -u +%Y%m%dT%H%M%SZ).jsonl
python=$COUNTERSIGN_TOOLS/python/bin/python
"$python" bench/bench.py run "${size[@]}" --out "$results" "$@"
"$python" bench/bench.py table "$results" | tee "${results%.jsonl}.md"
echo "kept in $results" >&2
