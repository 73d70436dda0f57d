#!/bin/sh
# Run once, when the database is made: a role and a password for each service, and no more rights than it needs.
#   forecaster  owns the store: the worker migrates and writes it
#   api         reads the store
#   mlflow      owns a database of its own
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
  --set forecaster="$(cat /run/secrets/forecaster)" \
  --set mlflow="$(cat /run/secrets/mlflow)" \
  --set api="$(cat /run/secrets/api)" <<'SQL'
CREATE ROLE forecaster LOGIN PASSWORD :'forecaster';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE api LOGIN PASSWORD :'api';
CREATE DATABASE forecaster OWNER forecaster;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE forecaster, mlflow, postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE forecaster TO api;
\connect forecaster
ALTER DEFAULT PRIVILEGES FOR ROLE forecaster IN SCHEMA public GRANT SELECT ON TABLES TO api;
SQL
