#!/bin/sh
# Makes sure that Debian's docker-registry is installed, for the tests that push (they start it themselves).
set -eu
. "$(dirname "$0")/apt.sh"
apt_need docker-registry docker-registry || { echo "registry: FAILED: install the package docker-registry" >&2; exit 1; }
