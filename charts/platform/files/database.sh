# Make MLflow's role and database, as the owner; again at each start, so that a changed Secret holds.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres/password)
export PGPASSWORD PGHOST=postgres PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=5
until pg_isready --quiet; do sleep 1; done
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 <<'SQL'
-- The statement that holds the password goes into no log.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
\set password `cat /run/secrets/mlflow/password`
SELECT 'CREATE ROLE mlflow' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mlflow') \gexec
ALTER ROLE mlflow LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
SELECT 'CREATE DATABASE mlflow OWNER mlflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mlflow') \gexec
REVOKE ALL ON DATABASE mlflow, postgres, template1 FROM PUBLIC;
SQL
