#!/bin/sh
# Makes sure that a Docker engine with buildx and compose answers (`make engine`).
#
# An engine that answers is left exactly as it is. Otherwise, on Debian or Ubuntu and as root, one is installed from the
# distribution's packages and started. Everywhere else the last line says what to install.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../apt.sh"

LOG=/var/log/botdock-dockerd.log
START_DEADLINE=60 # seconds a fresh daemon gets before its socket must answer
started_at=$(date +%s)

say() { printf 'engine: %s\n' "$*"; }
step() { printf 'engine: [%3ss] %s\n' "$(($(date +%s) - started_at))" "$*"; }
die() {
    printf 'engine: FAILED: %s\n' "$*" >&2
    exit 1
}

engine_version() { docker version --format '{{.Server.Version}}' 2>&1; }
has_plugins() { docker buildx version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

daemon_alive() {
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]
}

# A pid file left by a daemon that was killed stops the next one once the number belongs to another process.
clear_stale_pid_files() {
    daemon_alive /run/docker.pid dockerd || rm -f /run/docker.pid
    daemon_alive /run/docker/containerd/containerd.pid containerd || rm -f /run/docker/containerd/containerd.pid
}

require_disk() {
    free_mb=$(df -Pm /var/lib | awk 'NR == 2 { print $4 }')
    [ "$free_mb" -ge 2000 ] || die "only $free_mb MB free under /var/lib; free at least 2 GB and run 'make engine' again"
}

install_packages() {
    . /etc/os-release
    case "$ID" in
    debian)
        packages="docker.io docker-cli docker-buildx docker-compose containerd iptables"
        # Releases before trixie carry an engine without buildx and compose v2; trixie's packages run on them.
        [ "${VERSION_ID:-13}" -ge 13 ] || {
            step "adding Debian trixie as a second source for Docker's packages only"
            apt_add_trixie
        }
        ;;
    ubuntu) packages="docker.io docker-buildx docker-compose-v2 containerd iptables" ;;
    esac
    case "$1" in plugins)
        packages=$(printf '%s\n' $packages | grep -E 'buildx|compose' | tr '\n' ' ')
        ;;
    esac
    step "reading package lists"
    apt_run update || die "'apt-get update' failed: $(apt_error)"
    step "installing $packages"
    # shellcheck disable=SC2086  # a list of words
    apt_run install $packages || die "installing packages failed: $(apt_error)"
}

start_daemon() {
    clear_stale_pid_files
    if [ -d /run/systemd/system ]; then
        step "starting the docker service"
        systemctl start docker || die "'systemctl start docker' failed; see 'journalctl -u docker'"
    elif ! daemon_alive /run/docker.pid dockerd; then
        step "starting dockerd (log: $LOG)"
        ulimit -n 1048576 2>/dev/null || true
        setsid dockerd >>"$LOG" 2>&1 </dev/null &
    fi
    waited=0
    until version=$(engine_version); do
        [ "$waited" -lt "$((START_DEADLINE * 5))" ] || fail_start "did not answer within $START_DEADLINE s"
        if [ ! -d /run/systemd/system ] && [ "$waited" -gt 15 ] && ! pidof dockerd >/dev/null; then
            fail_start "ended while starting"
        fi
        [ "$((waited % 25))" -ne 24 ] || step "waiting for the engine"
        waited=$((waited + 1))
        sleep 0.2
    done
}

fail_start() {
    tail -n 8 "$LOG" 2>/dev/null >&2 || true
    die "dockerd $1; the lines above are the end of $LOG"
}

if ! command -v docker >/dev/null; then
    answer="no docker command"
elif answer=$(engine_version); then
    if has_plugins; then
        say "Docker $answer answers, left as it is"
        exit 0
    fi
    answer="the engine answers, but the docker command has no buildx or compose"
fi

case "$answer" in *[Pp]ermission\ denied*)
    die "no permission on Docker's socket; run 'sudo usermod -aG docker $(id -un)' and log in again, or use sudo"
    ;;
esac
case "${DOCKER_HOST:-}" in "" | unix:///var/run/docker.sock | unix:///run/docker.sock) ;; *)
    die "no engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST to use this machine's"
    ;;
esac
distribution=$(. /etc/os-release 2>/dev/null && echo "$ID" || uname -s)
case "$distribution" in
debian | ubuntu) ;;
Darwin) die "$answer; install Docker Desktop or OrbStack, start it, and run 'make engine' again" ;;
*) die "$answer; install Docker Engine 24 or newer with the buildx and compose plugins, start it, and run 'make engine' again" ;;
esac
[ "$(id -u)" = 0 ] || die "$answer; installing or starting it needs root: run 'sudo make engine'"

require_disk
if engine_version >/dev/null; then
    install_packages plugins
    has_plugins || die "docker still has no buildx or compose; install both plugins of your Docker distribution"
    say "buildx and compose are installed; Docker $(engine_version) itself left as it is"
    exit 0
fi
if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null || ! has_plugins; then
    # Written before the packages arrive, because installing them may start the daemon. The containerd image store is
    # what keeps images of several platforms. A configuration that is already there belongs to somebody else.
    if [ ! -e /etc/docker/daemon.json ]; then
        mkdir -p /etc/docker
        printf '{"features": {"containerd-snapshotter": true}}\n' >/etc/docker/daemon.json
    fi
    install_packages all
fi
start_daemon
has_plugins || die "docker has no buildx or compose; $(command -v docker) does not look where the packages put them"
step "Docker $version is ready"
