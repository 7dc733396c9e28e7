#!/bin/sh
# Prints `version=X.Y.Z` for the tag that a workflow runs on. Fails unless the tag is `v` and a semantic version without
# build metadata (an image tag has no `+`), and the version of the source.
set -eu
cd "$(dirname "$0")/.."

die() {
    printf 'check-tag: %s\n' "$*" >&2
    exit 1
}

[ "${GITHUB_REF_TYPE:-}" = tag ] || die "run this workflow on a tag, not on a branch"
number='(0|[1-9][0-9]*)'
case "$GITHUB_REF_NAME" in
*[!0-9A-Za-z.-]*) die "the tag must be vX.Y.Z or vX.Y.Z-PRERELEASE" ;;
esac
printf '%s' "$GITHUB_REF_NAME" | grep -Eqx "v$number\.$number\.$number(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?" ||
    die "the tag must be vX.Y.Z or vX.Y.Z-PRERELEASE, not $GITHUB_REF_NAME"
version=${GITHUB_REF_NAME#v}
source_version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' bot_runtime/contract/version.py)
[ "$version" = "$source_version" ] ||
    die "the tag says $version, the source says $source_version: change VERSION or the tag"
printf 'version=%s\n' "$version"
