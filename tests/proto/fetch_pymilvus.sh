#!/bin/sh
# Unpacks two releases of pymilvus, the source of Milvus' own descriptors, below .cache/ of the repository:
# the last of 2.3 that we hold to, and the current one that tests/requirements.txt pins.
# What is there already is left alone, so that a second call needs no network.
set -eu

root=$(CDPATH="" cd -- "$(dirname -- "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
current=$(sed -n 's/^pymilvus==//p' "$root/tests/requirements.txt")
[ -n "$current" ] || { echo "fetch_pymilvus.sh: tests/requirements.txt pins no pymilvus==VERSION" >&2; exit 1; }

# fetch VERSION DIRECTORY: atomic, so that an interrupted download is not taken for a release.
fetch() {
    [ ! -d "$2/pymilvus-$1.dist-info" ] || return 0
    [ -x "$python" ] || { echo "fetch_pymilvus.sh: no Python at $python; run scripts/setup or set PYTHON" >&2; exit 1; }
    mkdir -p "$root/.cache"
    part=$(mktemp -d "$2.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target "$part" "pymilvus==$1"
    rm -rf "$2"
    mv "$part" "$2"
    trap - EXIT
}

fetch 2.3.7 "$root/.cache/pymilvus-2.3.7"
fetch "$current" "$root/.cache/pymilvus-current"
