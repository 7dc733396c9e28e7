#!/bin/sh
# Says whether the native images in the engine are those of this checkout (`built.sh check`), and notes that they are now
# (`begin` before they are built, `end` after). So a target that needs them builds them only when it must: an image is
# missing or was replaced (another checkout on the same engine), or a file they are made of is new, changed or gone.
set -eu
cd "$(dirname "$0")/.."

stamp=images/.build/built
images="botdock/bot:dev botdock/orchestrator:dev botdock/postgres:dev botdock/simulator:dev botdock/bot-simulated:dev"
inputs="images bot_runtime orchestrator tests/simulator requirements docker-bake.hcl"

# shellcheck disable=SC2086  # lists of words
input_files() { find $inputs -path images/.build -prune -o -type f ! -name '*.pyc' "$@"; }

# shellcheck disable=SC2086
contents() {
    input_files -print | LC_ALL=C sort
    docker image inspect --format '{{.Id}}' $images 2>/dev/null
}

case "$1" in
check) [ -e "$stamp" ] && contents | cmp -s - "$stamp" && [ -z "$(input_files -newer "$stamp" -print -quit)" ] ;;
begin) mkdir -p images/.build && touch "$stamp.new" ;;
end)
    if contents >"$stamp.list"; then
        touch -r "$stamp.new" "$stamp.list" # as old as the beginning: what was changed meanwhile is newer
        mv "$stamp.list" "$stamp"
    fi
    rm -f "$stamp.new" "$stamp.list"
    ;;
esac
