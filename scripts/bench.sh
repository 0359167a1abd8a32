#!/usr/bin/env bash
# The benchmarks, when this checkout has them.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x bench/run.sh ]; then exec bench/run.sh "$@"; fi
echo 'bench/run.sh is absent: this checkout has no benchmarks' >&2
exit 1
