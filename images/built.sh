#!/bin/sh
# Whether the native images in the engine are those of this checkout (`built.sh check`), and the record that they are now
# (`begin` before the build, `end` after it). Targets that need the images build them only if necessary: an image is
# missing or was replaced (by another checkout on the same engine), one of its source files is new, changed or deleted,
# or Debian's packages were fetched more than BASE_MAX_AGE_DAYS ago.
set -eu
cd "$(dirname "$0")/.."

stamp=images/.build/built
tag=${BOTDOCK_TAG:-dev}
images=
for name in bot orchestrator postgres simulator bot-simulated; do
    images="$images botdock/$name:$tag"
done
inputs="images bot_runtime orchestrator tests/simulator requirements docker-bake.hcl"

# shellcheck disable=SC2086  # lists of words
input_files() { find $inputs -path images/.build -prune -o -type f ! -name '*.pyc' "$@"; }

# shellcheck disable=SC2086
contents() {
    input_files -print | LC_ALL=C sort
    docker image inspect --format '{{.Id}}' $images 2>/dev/null
}

# The stamps of the package roots, which are touched whenever packages are fetched.
outdated_bases() {
    find images/.build/stamps \( -name 'python-a*' -o -name 'postgres-a*' \) \
        -mmin "+$((${BASE_MAX_AGE_DAYS:-7} * 1440))" 2>/dev/null
}

case "$1" in
check)
    [ -e "$stamp" ] && contents | cmp -s - "$stamp" && [ -z "$(input_files -newer "$stamp" -print -quit)" ] &&
        [ -z "$(outdated_bases)" ]
    ;;
begin)
    mkdir -p images/.build 2>/dev/null && touch "$stamp.new" 2>/dev/null || {
        echo "images: FAILED: images/.build belongs to another user; run 'sudo chown -R $(id -un) images/.build'" >&2
        exit 1
    }
    ;;
end)
    if contents >"$stamp.list"; then
        touch -r "$stamp.new" "$stamp.list" # as old as the beginning: files changed during the build are newer
        mv "$stamp.list" "$stamp"
    fi
    rm -f "$stamp.new" "$stamp.list"
    ;;
esac
