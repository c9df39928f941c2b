#!/bin/sh
# Run once by the PostgreSQL image on an empty volume: the two roles of Horae, neither of which is a superuser,
# and the database that the first one owns. What is in the database is the business of `horae migrate`.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set owner="$HORAE_OWNER_PASSWORD" --set api="$HORAE_API_PASSWORD" <<'SQL'
CREATE ROLE horae LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE PASSWORD :'owner';
CREATE ROLE horae_api LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE PASSWORD :'api';
CREATE DATABASE horae OWNER horae;
REVOKE CONNECT ON DATABASE horae FROM PUBLIC;
GRANT CONNECT ON DATABASE horae TO horae_api;
SQL
