#!/usr/bin/env bash
# devpi.sh WORK PORT: devpi-server in the foreground, no mirror, bodies up to 2 GB.
set -euo pipefail
work=$1 port=$2 bin=$COUNTERSIGN_TOOLS/python/bin
export TMPDIR=$work
"$bin/devpi-init" --serverdir "$work/server" --no-root-pypi --root-passwd bench >"$work/init.log" 2>&1
exec "$bin/devpi-server" --serverdir "$work/server" --host 127.0.0.1 --port "$port" \
    --max-request-body-size 2147483648 --offline-mode
