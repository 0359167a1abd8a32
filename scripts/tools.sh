#!/usr/bin/env bash
# Installs what the tests need beside Rust, Node and Python: Debian packages, and under .tools/ the real clients,
# registries and checkers at exact versions. Safe to repeat; when everything is there it takes well under a second.
#
#   scripts/tools.sh [demo|large]   with `demo` only what the demo runs, with `large` also the packages that only
#                                   benchmarks and `make test-large` read
#   COUNTERSIGN_TOOLS               another folder instead of .tools/ (several checkouts can share one)
#
# Package sources are whatever the clients on this machine are configured with; none is named here.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${COUNTERSIGN_TOOLS:-$PWD/.tools}
wanted=$PWD/scripts/tools
mkdir -p "$tools"

say() { printf 'tools: %s\n' "$*"; }

# A part is done when its stamp holds the digest of what was asked for.
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
is_done() { [ -f "$tools/$1.stamp" ] && [ "$(cat "$tools/$1.stamp")" = "$2" ]; }
mark() { printf '%s\n' "$2" >"$tools/$1.stamp"; }

retry() {
    local attempt
    for attempt in 1 2 3; do
        "$@" && return 0
        say "attempt $attempt failed: $*"
        sleep $((attempt * 2))
    done
    return 1
}

debian_packages() {
    local missing=() package
    for package in chromium chromium-driver fonts-dejavu-core postgresql openssl python3-venv libarchive-tools; do
        # A Python that was not installed from Debian brings its own venv.
        if [ "$package" = python3-venv ] && python3 -c 'import venv, ensurepip' 2>/dev/null; then continue; fi
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing from Debian: ${missing[*]}"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    retry "${as_root[@]}" apt-get update -q
    retry "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}"
}

python_packages() {
    local want
    want=$(digest "$wanted/requirements.txt")
    is_done python "$want" && return 0
    say "installing the Python clients and registries"
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    retry "$tools/python/bin/python" -m pip install -q --disable-pip-version-check -r "$wanted/requirements.txt"
    mark python "$want"
}

npm_packages() {
    local want
    want=$(digest "$wanted/package.json" "$wanted/package-lock.json" "$wanted/.npmrc")
    is_done npm "$want" && return 0
    say "installing the npm clients, registry and checkers"
    mkdir -p "$tools/npm"
    cp "$wanted/package.json" "$wanted/package-lock.json" "$wanted/.npmrc" "$tools/npm/"
    rm -rf "$tools/npm/node_modules"
    # Not `npm ci`: from npm 11.19 on it wants a lock entry for every optional package, also those for other platforms
    # that a mirror may not have. `install --no-save` takes the same locked versions and digests, and writes no lock.
    # No install scripts: the tests use the files as packed.
    (cd "$tools/npm" && retry npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error)
    mark npm "$want"
}

# Real packages that the review is held against, each pinned by its digest. They are read and never installed.
# `fixtures LIST` fetches those of a list into a folder of its name.
fixtures() {
    local list=$1 want ecosystem spec sha256 file
    want=$(digest "$wanted/$list.txt")
    is_done "$list" "$want" && return 0
    say "fetching real packages for the review: $list"
    mkdir -p "$tools/$list"
    while read -r ecosystem spec sha256 file; do
        printf '%s  %s\n' "$sha256" "$tools/$list/$file" | sha256sum --check --status 2>/dev/null && continue
        case $ecosystem in
        sdist) retry "$tools/python/bin/python" "$wanted/sdist.py" "$spec" "$tools/$list" ;;
        npm) (cd "$tools/$list" && retry npm pack --silent --ignore-scripts "$spec" >/dev/null) ;;
        pypi)
            retry "$tools/python/bin/python" -m pip download -q --disable-pip-version-check --no-deps \
                --only-binary :all: --implementation cp --python-version 3.11 --platform any \
                --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
                --platform manylinux_2_28_x86_64 -d "$tools/$list" "$spec"
            ;;
        esac
        printf '%s  %s\n' "$sha256" "$tools/$list/$file" | sha256sum --check --quiet
    done <"$wanted/$list.txt"
    mark "$list" "$want"
}

# cargo_tool CRATE VERSION COMMAND [cargo install options]: uses an installed COMMAND, else builds it once into .tools/.
cargo_tool() {
    local crate=$1 version=$2 command=$3
    shift 3
    [ -x "$tools/bin/$command" ] && return 0
    command -v "$command" >/dev/null 2>&1 && return 0
    say "building $crate $version (minutes, once)"
    retry cargo install --locked --root "$tools" --target-dir "$tools/cargo-target" "$@" "$crate@$version" >"$tools/$crate.log" 2>&1 || {
        tail -n 40 "$tools/$crate.log" >&2
        return 1
    }
    rm -rf "$tools/cargo-target"
}

debian_packages
python_packages
npm_packages
if [ "${1:-}" != demo ]; then
    fixtures fixtures
    [ "${1:-}" != large ] || fixtures large
    cargo_tool cargo-nextest 0.9.143 cargo-nextest
    cargo_tool cargo-deny 0.20.2 cargo-deny --no-default-features
fi
say "all present"
