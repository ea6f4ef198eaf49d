#!/bin/sh
# What the official image's entrypoint does: makes the database at the first start, with the password from its file.
set -e
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    chown postgres "$data"
    chmod 700 "$data"
    PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PASSWORD
    exec su postgres -s /bin/sh -c "sh $0"
fi
PATH=/usr/lib/postgresql/17/bin:$PATH
if [ ! -s "$data/PG_VERSION" ]; then
    printf %s "$PASSWORD" > /tmp/password
    initdb -E UTF8 -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust > /dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    pg_ctl -D "$data" -w start -o "-c listen_addresses='' -k /tmp" > /dev/null
    psql -h /tmp -U "$POSTGRES_USER" -d postgres -qc "create database $POSTGRES_DB" 2> /dev/null || true
    pg_ctl -D "$data" -w stop > /dev/null
fi
exec postgres -D "$data" -c listen_addresses='*' -k /tmp
