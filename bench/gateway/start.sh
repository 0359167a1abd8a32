#!/usr/bin/env bash
# start.sh WORK PORT: an issuer of CI tokens, a founded installation with packages bench-000 to bench-255 of both kinds,
# and the gateway in the foreground. Where an installation is already, only the gateway. Needs COUNTERSIGN_BIN, the built
# program.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1 port=$2
python=$COUNTERSIGN_TOOLS/python/bin/python

if [ ! -f "$work/countersign.toml" ]; then
    # It leaves its address in the folder when it listens, and ends with the gateway, whose child it becomes.
    "$python" "$here/issuer.py" "$work" &
    for _ in $(seq 100); do
        [ -f "$work/issuer.url" ] && break
        sleep 0.1
    done
    "$python" "$here/configure.py" "$work" "$port"
    "$COUNTERSIGN_BIN" apply "$work/setup.toml" --config "$work/countersign.toml" >"$work/invitations"
fi
exec "$COUNTERSIGN_BIN" serve --config "$work/countersign.toml"
