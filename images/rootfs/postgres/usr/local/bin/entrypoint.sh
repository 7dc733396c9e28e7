#!/bin/sh
# Creates the database on the first start, then runs the server.
#
# Environment, as in the official postgres image: POSTGRES_PASSWORD (required on the first start), POSTGRES_USER (default
# postgres), POSTGRES_DB (default: the user's name). Arguments are passed to the server.
set -eu
umask 077
new=$PGDATA/.new

die() {
    echo "postgres: $*" >&2
    exit 1
}

# Created in a directory beside it and moved there, PG_VERSION last: a first start that is interrupted anywhere is resumed
# by the next one, and nothing that is already in the directory is ever touched.
create_database() {
    [ -n "${POSTGRES_PASSWORD:-}" ] || die "set POSTGRES_PASSWORD to create the database"
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    case $database in *\"*) die 'POSTGRES_DB must not contain a double quote' ;; esac
    rm -rf "$new"
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata "$new" --username "$user" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256 \
        --encoding UTF8 --locale C --locale-provider builtin --builtin-locale C.UTF-8 >/tmp/initdb.log 2>&1 || {
        cat /tmp/initdb.log >&2
        die "the database could not be created in $PGDATA"
    }
    rm -f /tmp/password
    echo "host all all all scram-sha-256" >>"$new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        # Single-user mode: nobody can connect before the database is complete.
        printf 'CREATE DATABASE "%s"\n' "$database" |
            postgres --single -D "$new" -c log_min_messages=warning postgres >/dev/null ||
            die "database $database could not be created"
    fi
    : >"$new/complete"
    echo "postgres: created database $database in $PGDATA" >&2
}

move_in_place() {
    for path in "$new"/*; do
        case $path in */PG_VERSION | */complete) ;; *) mv "$path" "$PGDATA/" ;; esac
    done
    mv "$new/PG_VERSION" "$PGDATA/"
    rm -rf "$new"
}

if [ "${1:-postgres}" != postgres ]; then
    exec "$@"
fi
[ "$#" -eq 0 ] || shift
[ -w "$PGDATA" ] || die "$PGDATA is not writable for user $(id -u); give the volume to that user"
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    [ -e "$new/complete" ] || create_database
    move_in_place
fi
exec postgres -c "listen_addresses=*" -c jit=off "$@"
