#!/bin/sh
# Ensures that a Docker engine with buildx and compose is available (`make engine`).
#
# A machine that has Docker in any form is left as it is: nothing is installed, configured, upgraded or removed. At most
# a stopped dockerd is started where no service manager does that. On Debian or Ubuntu without any Docker, and as root,
# the distribution's packages are installed, after a list of everything that is about to change. What was installed is
# recorded, and `make engine-remove` (remove.sh) undoes it. On other systems the last line says what to install.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../apt.sh"
. "$here/common.sh"

START_TIMEOUT_SECONDS=60
NEEDED="Docker Engine 24 or newer with the buildx and compose plugins"
# On Debian 12 all of these come from Debian 13, whose engine has buildx and compose v2. runc alone stays Debian 12's
# own, with its security updates: Debian 13's needs a newer C library than the machine has.
TRIXIE_PACKAGES="docker.io docker-cli docker-buildx docker-compose containerd"

has_plugins() { docker buildx version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }
is_podman() { docker --version 2>/dev/null | grep -qi podman; }
context() { docker context show 2>/dev/null || echo default; }

# Recorded by this version; the earlier one left its package source in place instead.
is_ours() { [ -d "$record" ] || [ -e "$root/etc/apt/sources.list.d/botdock-trixie.sources" ]; }

# Prints the first sign of a Docker on this machine; fails if there is none.
docker_present() {
    for program in docker dockerd dockerd-rootless.sh; do
        command -v "$program" && return 0
    done
    for package in docker.io docker-ce docker-ce-cli docker-cli docker-desktop moby-engine podman-docker; do
        if has_package "$package"; then
            echo "the package $package"
            return 0
        fi
    done
    [ -d "$root/snap/docker" ] && echo "the snap docker"
}

require_root() { [ "$(id -u)" = 0 ] || die "$1; $2 it needs root: run 'sudo make engine'"; }

require_disk() {
    free_mb=$(df -Pm "$root/var/lib" | awk 'NR == 2 { print $4 }')
    [ "$free_mb" -ge 2000 ] || die "only $free_mb MB free under /var/lib; free at least 2 GB and run 'make engine' again"
}

choose_packages() {
    . "$root/etc/os-release"
    case "$ID" in
    debian)
        packages="docker.io docker-cli docker-buildx docker-compose containerd runc iptables"
        if [ "${VERSION_ID:-13}" -lt 13 ]; then
            private=$(mktemp -d "${TMPDIR:-/tmp}/botdock-apt.XXXXXX")
            apt_private_trixie "$private" || die "apt has no package source; see /etc/apt/sources.list.d"
        fi
        ;;
    ubuntu) packages="docker.io docker-buildx docker-compose-v2 containerd runc iptables" ;;
    esac
    missing=
    for package in $packages; do
        has_package "$package" || missing="$missing $package"
    done
}

# The packages of apt's plan: 'new' ones, or those that it 'upgrades'.
planned() {
    printf '%s\n' "$plan" | awk -v want="$1" '
        $1 == "Inst" { kind = $3 ~ /^\[/ ? "upgrades" : "new"; if (kind == want) printf "%s%s", sep, $2; if (kind == want) sep = " " }'
}

# note FILE WORD…: adds the words to a file of the record, one a line.
note() {
    file=$record/$1
    shift
    [ "$#" = 0 ] || { cat "$file" 2>/dev/null || true; printf '%s\n' "$@"; } | sort -u >"$file.new"
    [ ! -e "$file.new" ] || mv "$file.new" "$file"
}

install_engine() {
    require_disk
    private=
    trap '[ -z "$private" ] || rm -rf "$private"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    choose_packages
    step "reading package lists"
    apt_run update || die "'apt-get update' failed: $(apt_error)"
    # shellcheck disable=SC2086  # a list of words
    plan=$(apt_plan install $missing) || die "the packages cannot be installed:$missing; $(apt_plan install $missing >/dev/null || apt_error)"
    case "$plan" in *Remv\ *) die "installing$missing would remove packages; install $NEEDED yourself" ;; esac

    say "no Docker found; about to:"
    say "  install $(planned new)"
    [ -z "$(planned upgrades)" ] || say "  upgrade $(planned upgrades), which they depend on"
    [ -z "$private" ] || say "  take Docker's packages from Debian 13, without adding a package source to this machine"
    writes_config=
    if [ -e "$daemon_json" ]; then
        say "  leave $daemon_json as it is"
    elif ! is_empty "$root/var/lib/docker"; then
        say "  write no daemon.json, because /var/lib/docker holds data of an earlier Docker"
    else
        writes_config=1
        say "  write $daemon_json: $daemon_json_content"
    fi
    say "  start the engine, and record all this in $record for 'make engine-remove'"

    # Recorded first, so that an interrupted installation can be continued or removed.
    mkdir -p "$record"
    # shellcheck disable=SC2046
    note packages $(planned new)
    for directory in $data "$root/etc/docker"; do
        # A directory that is absent or empty now is removed with the engine.
        ! is_empty "$directory" || note directories "$directory"
    done
    # Before the packages, because installing them may start the daemon.
    if [ -n "$writes_config" ]; then
        mkdir -p "$root/etc/docker"
        printf '%s\n' "$daemon_json_content" >"$daemon_json"
        : >"$record/daemon.json"
    fi
    if [ -n "$missing" ]; then
        step "installing"
        # shellcheck disable=SC2086
        apt_run install $missing || die "installing the packages failed: $(apt_error)"
    fi
    [ -z "$private" ] || rm -rf "$private"
}

# A pid file left by a killed daemon stops the next one once the number belongs to another process.
clear_stale_pid_files() {
    daemon_alive "$root/run/docker.pid" dockerd || rm -f "$root/run/docker.pid"
    daemon_alive "$root/run/docker/containerd/containerd.pid" containerd ||
        rm -f "$root/run/docker/containerd/containerd.pid"
}

start_daemon() {
    if has_systemd; then
        step "starting the docker service"
        systemctl start docker || die "'systemctl start docker' failed; see 'journalctl -u docker'"
    elif ! daemon_alive "$root/run/docker.pid" dockerd; then
        clear_stale_pid_files
        step "starting dockerd (log: $log)"
        ulimit -n 1048576 2>/dev/null || true
        setsid dockerd >>"$log" 2>&1 </dev/null &
    fi
    waited=0
    until version=$(engine_version); do
        [ "$waited" -lt "$((START_TIMEOUT_SECONDS * 5))" ] || fail_start "did not answer within $START_TIMEOUT_SECONDS s"
        if ! has_systemd && [ "$waited" -gt 15 ] && ! pidof dockerd >/dev/null; then
            fail_start "exited while starting"
        fi
        [ "$((waited % 25))" -ne 24 ] || step "waiting for the engine"
        waited=$((waited + 1))
        sleep 0.2
    done
    step "Docker $version is ready"
}

fail_start() {
    tail -n 8 "$log" 2>/dev/null >&2 || true
    die "dockerd $1; the lines above are the end of $log"
}

if command -v docker >/dev/null; then
    ! is_podman || die "the docker command is Podman's; Botdock needs $NEEDED, which 'make engine' installs only where no docker command exists"
    if state=$(engine_version); then
        has_plugins || is_ours || die "Docker $state is running, but 'docker buildx' or 'docker compose' is missing; 'make engine' changes no existing Docker: install both from where this one came from (docker-buildx and docker-compose, or docker-buildx-plugin and docker-compose-plugin)"
        if has_plugins; then
            say "Docker $state is running, left as it is"
            exit 0
        fi
    fi
else
    state="no docker command"
fi

case "$state" in *[Pp]ermission\ denied*)
    die "no permission on Docker's socket; run 'sudo usermod -aG docker $(id -un)' and log in again, or use sudo"
    ;;
esac
case "${DOCKER_HOST:-}" in "" | unix:///var/run/docker.sock | unix:///run/docker.sock) ;; *)
    die "no engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST to use this machine's"
    ;;
esac

if is_ours; then
    require_root "the engine that 'make engine' installed is not running" "starting"
    if ! { command -v docker && command -v dockerd && has_plugins; } >/dev/null; then
        [ -d "$record" ] || die "parts of the engine are missing; install$(printf ' %s' $TRIXIE_PACKAGES)"
        say "the installation was interrupted; continuing"
        install_engine
    fi
    start_daemon
    exit 0
fi

if found=$(docker_present); then
    [ "$(context)" = default ] || die "no engine answers in the docker context '$(context)'; start it, or run 'docker context use default'"
    command -v dockerd >/dev/null && command -v docker >/dev/null ||
        die "Docker is here in part ($found), but no engine answers; start it, or install $NEEDED. 'make engine' changes no existing Docker"
    has_plugins || die "the docker command has no buildx or compose; install both plugins. 'make engine' changes no existing Docker"
    ! has_systemd || die "Docker is installed but not running; start it with 'systemctl start docker' and run the same again"
    require_root "Docker is installed but not running" "starting"
    say "Docker is installed but not running; about to start dockerd, and to change nothing else"
    start_daemon
    exit 0
fi

distribution=$(. "$root/etc/os-release" 2>/dev/null && echo "$ID" || uname -s)
case "$distribution" in
debian | ubuntu) ;;
Darwin) die "$state; install Docker Desktop or OrbStack, start it, and run 'make engine' again" ;;
*) die "$state; install $NEEDED, start it, and run 'make engine' again" ;;
esac
require_root "$state" "installing"
install_engine
start_daemon
has_plugins || die "docker has no buildx or compose; $(command -v docker) does not look where the packages put them"
