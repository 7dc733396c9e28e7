# Sourced by the setup scripts: apt without questions, and this machine's own Debian mirror.

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
APT_OPTIONS= # words added to every apt-get command
APT_OUTPUT=  # what the last apt_run printed

# apt_run ARGUMENT…: apt-get without questions; it never removes a package.
apt_run() {
    # shellcheck disable=SC2086  # a list of words
    APT_OUTPUT=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --no-remove \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 $APT_OPTIONS "$@" 2>&1)
}

# The line of apt's output that names the error.
apt_error() {
    printf '%s\n' "$APT_OUTPUT" | grep -E '^(E|Err|W):' | tail -n 1 | grep . || printf '%s\n' "$APT_OUTPUT" | tail -n 1
}

# apt_plan COMMAND PACKAGE…: what apt would do, one 'Inst', 'Remv' or 'Purg' line per package; nothing is changed.
apt_plan() {
    # shellcheck disable=SC2086
    APT_OUTPUT=$(apt-get -qq --no-install-recommends $APT_OPTIONS --simulate "$@" 2>&1) || return 1
    printf '%s\n' "$APT_OUTPUT" | grep -E '^(Inst|Remv|Purg) ' || true
}

# The archive this machine installs from, in whichever file and format its sources are written; also before the first
# "apt-get update".
apt_mirror() {
    apt-get indextargets --no-release-info --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 !~ /security/ { print $1; exit }'
}

# apt_private_trixie DIRECTORY: from here on apt also knows trixie, for the packages named in TRIXIE_PACKAGES only.
# Sources, pins and package lists are private to DIRECTORY: nothing in /etc/apt changes, so nothing has to be undone.
apt_private_trixie() {
    mirror=$(apt_mirror)
    [ -n "$mirror" ] || { echo "apt has no package source" >&2; return 1; }
    mkdir -p "$1/sources.list.d" "$1/preferences.d" "$1/lists/partial"
    chmod -R a+rX "$1" # apt downloads as the user _apt
    for kind in sources.list.d preferences.d; do
        for file in "${root:-}/etc/apt/$kind"/*; do
            case "$file" in
            */botdock-trixie*) ;; # left by earlier versions of this script
            *) [ ! -f "$file" ] || cp "$file" "$1/$kind/" ;;
            esac
        done
    done
    cat >"$1/sources.list.d/trixie.sources" <<END
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: $DEBIAN_KEYRING
END
    cat >"$1/preferences.d/trixie" <<END
Package: *
Pin: release n=trixie
Pin-Priority: 100

Package: $TRIXIE_PACKAGES
Pin: release n=trixie
Pin-Priority: 990
END
    APT_OPTIONS="-o Dir::Etc::SourceParts=$1/sources.list.d -o Dir::Etc::PreferencesParts=$1/preferences.d"
    APT_OPTIONS="$APT_OPTIONS -o Dir::State::Lists=$1/lists -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
}

# One-line sources of a Debian release from this machine's own mirror, with its updates and, where this machine has
# one, its security archive. Empty on a machine that is not Debian: mmdebstrap then uses its own default.
apt_release_sources() {
    . /etc/os-release
    [ "$ID" = debian ] || return 0
    mirror=$(apt_mirror)
    security=$(apt-get indextargets --no-release-info --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 ~ /security/ { print $1; exit }')
    signed="[signed-by=$DEBIAN_KEYRING]"
    printf 'deb %s %s %s main\n' "$signed" "$mirror" "$1" "$signed" "$mirror" "$1-updates"
    [ -z "$security" ] || printf 'deb %s %s %s-security main\n' "$signed" "$security" "$1"
}

# apt_install PACKAGE…: installs them, or prints what to install.
apt_install() {
    command -v apt-get >/dev/null || { echo "missing: install $*" >&2; return 1; }
    [ "$(id -u)" = 0 ] || { echo "missing: run 'sudo apt-get install $*'" >&2; return 1; }
    apt_run install "$@" || { apt_run update && apt_run install "$@"; } || { apt_error >&2; return 1; }
}

# apt_need COMMAND PACKAGE…: installs the packages if the command is missing.
apt_need() {
    needed=$1
    shift
    command -v "$needed" >/dev/null || apt_install "$@"
}
