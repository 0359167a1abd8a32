#!/usr/bin/env bash
# Fuzzes every reader for SECONDS each (default 60) and fails on the first crash.
#
#   fuzz/run.sh [SECONDS] [TARGET...]
#
# Needs rustc, cargo and a C++ compiler; no nightly toolchain and no clang. Coverage comes from the
# flags below, which are what cargo-fuzz passes; ours has no unsafe code, so no sanitizer is used.
# New inputs grow in fuzz/corpus, crashes are kept in fuzz/artifacts; both are ignored by git.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  targets=(envelope json note tar zip wheel sdist survey)
fi

host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
# Given with --target, so that build scripts are not instrumented.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --locked --release --target "$host" --target-dir "$out"

for target in "${targets[@]}"; do
  echo "fuzzing $target for $seconds s"
  mkdir -p "corpus/$target" "artifacts/$target"
  "$out/$host/release/$target" "corpus/$target" "seeds/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1 -print_funcs=0 -verbosity=0 -close_fd_mask=1
done
echo "no crash in ${#targets[@]} targets"
