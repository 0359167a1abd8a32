#!/usr/bin/env bash
# Everything that must hold before a change is merged; `make test` and .ci/run end here.
# Packages are fetched by the first steps only. The tests themselves talk to loopback.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
target=${CARGO_TARGET_DIR:-target}
tools=${COUNTERSIGN_TOOLS:-$PWD/.tools}
# Ours come last: a tool the machine already has is used.
export PATH="$PATH:$tools/bin:$tools/python/bin"

# The linker says nothing of a full disk, it only dies.
free_gb=$(df --output=avail -BG . | tail -n 1 | tr -dc 0-9)
[ "$free_gb" -ge 8 ] || printf 'test: %s GB of disk are free; a first build and its tests take about 8\n' "$free_gb" >&2

step 'tools'
scripts/tools.sh
cargo fetch --locked --quiet

step 'format'
cargo fmt --all --check

step 'spelling'
typos

step 'bans, licences, sources'
cargo deny --offline --locked --workspace check --hide-inclusion-graph bans licenses sources

step 'lints'
cargo clippy --workspace --all-targets --locked --offline --quiet -- -D warnings

step 'build'
cargo build --workspace --bins --locked --offline

# Before the tests: the fuzzers build the readers without the rest, which alone may fail.
step 'fuzzing, briefly'
fuzz/run.sh 20

step 'tests'
export COUNTERSIGN_E2E_COUNT=$PWD/$target/e2e-checks.txt
case $target in /*) COUNTERSIGN_E2E_COUNT=$target/e2e-checks.txt ;; esac
rm -f "$COUNTERSIGN_E2E_COUNT"
failed=0
scripts/postgres.sh cargo nextest run --workspace --locked --offline "$@" || failed=$?

step 'checks through real programs'
missing=0
if [ -f "$COUNTERSIGN_E2E_COUNT" ]; then
    sort "$COUNTERSIGN_E2E_COUNT" | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)$/\1\t\2/' | sort -t "$(printf '\t')" -k2 |
        awk -F '\t' '{ printf "  %-28s %4d\n", $2, $1 }'
fi
# A client nobody ran is a hole in the tests, however green they are. A filtered run may leave some out.
if [ $# -eq 0 ] && [ "$failed" -eq 0 ]; then
    while IFS= read -r name; do
        grep -qxF "$name" "$COUNTERSIGN_E2E_COUNT" || { printf '  %-28s    0  MISSING\n' "$name"; missing=1; }
    done <scripts/tools/expected-checks.txt
fi
[ "$failed" -eq 0 ] || exit "$failed"
[ "$missing" -eq 0 ] || exit 1

step 'all well'
