#!/usr/bin/env bash
# pypiserver.sh WORK PORT: pypiserver in the foreground, without accounts.
set -euo pipefail
work=$1 port=$2
mkdir "$work/packages"
# It keeps each upload in a temporary file first: on the disk that is measured.
export TMPDIR=$work
exec "$COUNTERSIGN_TOOLS/python/bin/pypi-server" run -i 127.0.0.1 -p "$port" -P . -a . --disable-fallback \
    --log-stream none "$work/packages"
