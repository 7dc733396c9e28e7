#!/bin/sh
# Removes the Docker engine that `make engine` installed (`make engine-remove`), as recorded by ensure.sh, and nothing
# else. While the engine holds containers or volumes it refuses, unless YES=1.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../apt.sh"
. "$here/common.sh"

STOP_TIMEOUT_SECONDS=60
EARLIER="$root/etc/apt/sources.list.d/botdock-trixie.sources $root/etc/apt/preferences.d/botdock-trixie"
unset DOCKER_HOST DOCKER_CONTEXT 2>/dev/null || true # this machine's engine, whatever the shell is set to

require_root() { [ "$(id -u)" = 0 ] || die "removing the engine needs root: run 'sudo make engine-remove'"; }

remove_earlier_sources() {
    for file in $EARLIER; do
        [ ! -e "$file" ] || { require_root; rm -f "$file"; say "removed $file, which an earlier version left there"; }
    done
}

# The containers and volumes in the engine, by name.
contents() {
    docker ps --all --format 'container {{.Names}}'
    docker volume ls --format 'volume {{.Name}}'
}

require_consent() {
    [ "${YES:-}" != 1 ] || return 0
    if engine_version >/dev/null; then
        held=$(contents)
        [ -z "$held" ] || die "the engine holds $(printf '%s\n' "$held" | grep -c .) containers and volumes, $(printf '%s\n' "$held" | head -n 5 | tr '\n' ',' | sed 's/,$//; s/,/, /g') …; remove them first ('make clean' and 'make purge' remove Botdock's), or run 'make engine-remove YES=1' to delete them"
    elif ! is_empty "$root/var/lib/docker"; then
        die "the engine is not running, so its containers and volumes are unknown; run 'make engine' first, or 'make engine-remove YES=1' to delete them all"
    fi
}

stop_daemon() {
    if has_systemd; then
        systemctl stop docker.socket docker.service 2>/dev/null || true
    elif daemon_alive "$root/run/docker.pid" dockerd; then
        step "stopping dockerd"
        kill "$pid"
        waited=0
        while daemon_alive "$root/run/docker.pid" dockerd; do
            [ "$waited" -lt "$((STOP_TIMEOUT_SECONDS * 5))" ] || die "dockerd did not stop within $STOP_TIMEOUT_SECONDS s"
            waited=$((waited + 1))
            sleep 0.2
        done
    fi
}

if [ ! -d "$record" ]; then
    remove_earlier_sources
    say "'make engine' has no installation recorded on this machine; nothing to remove"
    exit 0
fi
require_root
installed=
for package in $(cat "$record/packages" 2>/dev/null); do
    ! has_package "$package" || installed="$installed $package"
done
require_consent
directories=$(cat "$record/directories" 2>/dev/null || true)
# Purging docker.io deletes /var/lib/docker.
case " $(echo $directories) " in *" $root/var/lib/docker "*) how=purge ;; *) how=remove ;; esac
# shellcheck disable=SC2086  # a list of words
if [ -n "$installed" ]; then
    plan=$(apt_plan $how $installed) || die "apt cannot remove the packages: $(apt_plan $how $installed >/dev/null || apt_error)"
    others=$(printf '%s\n' "$plan" | awk '{ sub(/:.*/, "", $2); print $2 }' | sort -u | grep -vxF "$(printf '%s\n' $installed)" || true)
    [ -z "$others" ] || die "other packages depend on the engine and would be removed with it: $(echo $others)"
fi
say "about to:"
[ -z "$installed" ] || say "  remove the packages$installed"
[ ! -e "$record/daemon.json" ] || say "  remove $daemon_json, unless it was changed since"
[ -z "$directories" ] || say "  delete $(echo $directories), which did not exist before"
[ "$how" = purge ] || say "  leave /var/lib/docker, which held data before"

stop_daemon
if [ -n "$installed" ]; then
    step "removing the packages"
    # shellcheck disable=SC2086
    APT_OUTPUT=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 $how $installed 2>&1) ||
        die "removing the packages failed: $(apt_error)"
fi
if [ -e "$record/daemon.json" ] && [ "$(cat "$daemon_json" 2>/dev/null)" = "$daemon_json_content" ]; then
    rm -f "$daemon_json"
fi
for directory in $directories; do
    case "$directory" in
    "$root/etc/docker") rmdir "$directory" 2>/dev/null || true ;; # whatever else is in it is not ours
    *) rm -rf --one-file-system "$directory" ;;
    esac
done
rm -rf "$log" "$record"
rmdir "$root/var/lib/botdock" 2>/dev/null || true
remove_earlier_sources
say "the engine is removed"
