#!/bin/sh
# Makes the development environment in .venv from requirements/dev.txt (`make venv`).
set -eu
cd "$(dirname "$0")/.."
. images/apt.sh

die() {
    printf 'venv: FAILED: %s\n' "$*" >&2
    exit 1
}

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$(python3 --version) is too old; install Python 3.11 or newer as python3"
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "venv: making .venv"
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        echo "venv: installing python3-venv"
        apt_install python3-venv || die "python3-venv could not be installed"
    fi
    python3 -m venv --clear .venv || die "'python3 -m venv .venv' failed"
fi
# uv first, at its pinned version: it installs the rest in seconds.
echo "venv: installing requirements/dev.txt"
pin=.venv/uv.txt
awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements/dev.txt >"$pin"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$pin" ||
    die "pip could not install uv; is a package index within reach?"
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/dev.txt ||
    die "installing requirements/dev.txt failed; the lines above say why"
touch .venv/.installed
