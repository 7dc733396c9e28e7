# Sourced by the set-up scripts: apt without questions, and this machine's own Debian mirror.

APT_LOG=${TMPDIR:-/tmp}/botdock-apt.log
TRIXIE_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

apt_run() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" >"$APT_LOG" 2>&1
}

# The sentence of apt that says what went wrong (the log holds the rest).
apt_error() {
    grep -E '^(E|Err|W):' "$APT_LOG" | tail -n 1 || tail -n 1 "$APT_LOG"
}

# The archive this machine installs from, whichever file and format its sources are written in.
apt_mirror() {
    apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 !~ /security/ { print $1; exit }'
}

# Trixie from the same mirror, pinned below everything installed except for Docker's packages.
apt_add_trixie() {
    mirror=$(apt_mirror)
    [ -n "$mirror" ] || { echo "apt has no package source at all" >&2; return 1; }
    cat >/etc/apt/sources.list.d/botdock-trixie.sources <<END
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: $TRIXIE_KEYRING
END
    cat >/etc/apt/preferences.d/botdock-trixie <<END
Package: *
Pin: release n=trixie
Pin-Priority: 100

Package: docker.io docker-cli docker-buildx docker-compose containerd
Pin: release n=trixie
Pin-Priority: 990
END
}

# One-line sources of a Debian release from this machine's own mirror, with its updates and, where this machine has
# one, its security archive. Empty on a machine that is not Debian: mmdebstrap then uses its own default.
apt_release_sources() {
    . /etc/os-release
    [ "$ID" = debian ] || return 0
    mirror=$(apt_mirror)
    security=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 ~ /security/ { print $1; exit }')
    signed="[signed-by=$TRIXIE_KEYRING]"
    printf 'deb %s %s %s main\n' "$signed" "$mirror" "$1" "$signed" "$mirror" "$1-updates"
    [ -z "$security" ] || printf 'deb %s %s %s-security main\n' "$signed" "$security" "$1"
}

# apt_install PACKAGE…: or one line saying who has to install what.
apt_install() {
    command -v apt-get >/dev/null || { echo "missing: install $*" >&2; return 1; }
    [ "$(id -u)" = 0 ] || { echo "missing: run 'sudo apt-get install $*'" >&2; return 1; }
    apt_run install "$@" || { apt_run update && apt_run install "$@"; } || { apt_error >&2; return 1; }
}

# apt_need COMMAND PACKAGE…: the packages are installed where the command is missing.
apt_need() {
    wanted=$1
    shift
    command -v "$wanted" >/dev/null || apt_install "$@"
}
