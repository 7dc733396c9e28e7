# Sourced by ensure.sh and remove.sh: messages, paths, and how to find an installed Docker.

root=${BOTDOCK_ENGINE_ROOT:-} # the tests set it: prefix of every path below
record=$root/var/lib/botdock/engine
log=$root/var/log/botdock-dockerd.log
daemon_json=$root/etc/docker/daemon.json
data="$root/var/lib/docker $root/var/lib/containerd"
# The containerd image store can hold one image for several platforms.
daemon_json_content='{"features": {"containerd-snapshotter": true}}'

started_at=$(date +%s)

say() { printf 'engine: %s\n' "$*"; }
step() { printf 'engine: [%3ss] %s\n' "$(($(date +%s) - started_at))" "$*"; }
die() {
    printf 'engine: FAILED: %s\n' "$*" >&2
    exit 1
}

engine_version() { docker version --format '{{.Server.Version}}' 2>&1; }
has_systemd() { [ -d "$root/run/systemd/system" ]; }
is_empty() { [ -z "$(ls -A "$1" 2>/dev/null)" ]; }

# Whether dpkg has the package in any state but 'not installed' and 'removed'.
has_package() {
    case "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" in
    "" | not-installed | config-files) return 1 ;;
    esac
}

daemon_alive() {
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]
}
