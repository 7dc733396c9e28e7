#!/bin/sh
# Creates the development environment in .venv from requirements/dev.txt (`make venv`).
set -eu
cd "$(dirname "$0")/.."
. images/apt.sh

die() {
    printf 'venv: FAILED: %s\n' "$*" >&2
    exit 1
}

# Run as root in somebody else's checkout, this leaves .venv to that user.
give_to_owner() {
    owner=$(stat -c %u . 2>/dev/null || echo 0)
    if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then chown -R --reference=. .venv; fi
}

if [ -e .venv ] && [ ! -w .venv ]; then
    die ".venv belongs to $(stat -c %U .venv); run 'sudo chown -R $(id -un) .venv', or 'sudo make venv'"
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$(python3 --version) is too old; install Python 3.11 or newer as python3"
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "venv: creating .venv"
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
    die "pip could not install uv; is a package index reachable?"
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/dev.txt ||
    die "installing requirements/dev.txt failed; the reason is above"
touch .venv/.installed
give_to_owner
