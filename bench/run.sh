#!/usr/bin/env bash
# run.sh [quick] [review] [cells OPTIONS]: builds the gateway and the load programs, installs the peers, measures,
# prints the tables. Alone it is everything (over an hour on 2 cores); `quick` is a look (about 6 minutes); `review` is
# the inspection of one large upgrade beside npm diff and diffoscope, and its pages; with `cells` and its options, such as
# `cells --only limit-npm,gateway-npm --sizes 20mb`, one measurement of bench.py.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh large
export COUNTERSIGN_TOOLS=${COUNTERSIGN_TOOLS:-$PWD/.tools}

cargo build --release --locked --bin countersign
(cd bench/rust && cargo build --release --locked --target-dir target)
target=${CARGO_TARGET_DIR:-target}
COUNTERSIGN_BIN=$(realpath "$target/release/countersign")
export COUNTERSIGN_BIN BENCH_BIN=$PWD/bench/rust/target/release

python=$COUNTERSIGN_TOOLS/python/bin/python

# In a folder of its own: nothing but this measurement has it run.
diffoscope() {
    local folder=$COUNTERSIGN_TOOLS/diffoscope
    [ -x "$folder/bin/diffoscope" ] && return 0
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check -r bench/peers/diffoscope.txt
}
review() {
    [ "${1:-}" = --quick ] || diffoscope
    PATH=$COUNTERSIGN_TOOLS/diffoscope/bin:$PATH \
        "$python" bench/review.py "$COUNTERSIGN_BIN" "$COUNTERSIGN_TOOLS/large" "$@"
    echo
    "$python" bench/pages.py "$COUNTERSIGN_TOOLS/large"
}
if [ "${1:-}" = review ]; then
    review "${@:2}"
    exit
fi

mkdir -p bench/results
results=bench/results/$(date -u +%Y%m%dT%H%M%SZ).jsonl
measure() { "$python" bench/bench.py "$1" --out "$results" "${@:2}"; }

ours=gateway-npm,gateway-pypi
case ${1:-everything} in
    everything)
        measure cells --rounds 3
        measure cells --rounds 3 --sizes 10kb --concurrency 8 --only verdaccio-accounts
        measure cells --sizes 300mb --concurrency 1 --only limit-npm,gateway-npm
        measure cells --sizes 500mb --concurrency 8 --only $ours
        measure mixed --rounds 3 --only limit-npm,verdaccio,gateway-npm,limit-pypi,pypiserver,gateway-pypi
        measure over --only $ours
        measure kill --only $ours
        review
        ;;
    quick)
        measure cells --sizes 10kb,20mb --concurrency 8
        measure mixed --only gateway-npm,gateway-pypi
        measure over --only $ours
        measure kill --only $ours --times 5
        review --quick
        ;;
    *) measure "$@" ;;
esac
"$python" bench/bench.py table "$results" | tee "${results%.jsonl}.md"
echo "kept in $results" >&2
