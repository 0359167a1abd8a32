#!/usr/bin/env bash
# Runs a command beside a PostgreSQL of its own: scripts/postgres.sh COMMAND…
# A fresh cluster in a temporary folder on a free loopback port, from Debian's package, gone afterwards. The command
# finds its address in COUNTERSIGN_TEST_POSTGRES.
set -euo pipefail

bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || { echo 'postgres: absent, run scripts/tools.sh' >&2; exit 1; }

dir=$(mktemp -d)
# PostgreSQL refuses to run as root; Debian's package brought a user for it.
as=()
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$dir"
    as=(setpriv --reuid postgres --regid postgres --clear-groups --)
fi
stop() {
    local code=$?
    trap - EXIT
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
    exit "$code"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$dir"
"${as[@]}" "$bin/initdb" -D "$dir/data" -U countersign --auth=trust --encoding=UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; exit 1; }
started=
for _ in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # Nothing of this cluster outlives the command, so it need not be safe on disk.
    options="-p $port -h 127.0.0.1 -k $dir -c fsync=off -c full_page_writes=off -c max_connections=300"
    if "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/log" -o "$options" -w -t 60 start >/dev/null 2>&1; then
        started=1
        break
    fi
done
[ -n "$started" ] || { cat "$dir/data/log" >&2; exit 1; }
"${as[@]}" "$bin/createdb" -h 127.0.0.1 -p "$port" -U countersign countersign
cd "$OLDPWD"

export COUNTERSIGN_TEST_POSTGRES="postgres://countersign@127.0.0.1:$port/countersign"
"$@"
