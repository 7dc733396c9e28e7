#!/bin/sh
# Downloads the registry that the tests push to (they start it themselves). Only the program is unpacked from Debian's
# docker-registry package: installing the package would also start a service on this machine.
set -eu
cd "$(dirname "$0")"
. ./apt.sh
target=.build/registry

if command -v docker-registry >/dev/null || [ -x "$target/usr/bin/docker-registry" ]; then
    exit 0
fi
mkdir -p "$target"
cd "$target"
apt_run download docker-registry || { apt_run update && apt_run download docker-registry; } || {
    echo "registry: FAILED: the package docker-registry could not be downloaded: $(apt_error)" >&2
    exit 1
}
dpkg-deb --extract docker-registry_*.deb .
rm docker-registry_*.deb
