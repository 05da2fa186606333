#!/usr/bin/env bash
# Makes the roles and the two databases of a production bridge. PostgreSQL's image runs it once, as a file of
# /docker-entrypoint-initdb.d; by hand it does the same on any server, of which PGHOST, PGPORT, PGUSER and PGPASSWORD
# say the address and somebody who may make roles and databases. To run it again is safe, and sets the passwords anew.
#
#   airflow        owns the database airflow: Airflow's own metadata
#   bridge_owner   owns the database bridge; only `python -m totara_bridge.staging.migrate` is it
#   bridge_tasks   the tasks of DAGs, and the maintainer's commands
#   bridge_panel   Airflow's API server: the control panel, and the Pull API inside it
#   bridge_pull    the Pull API alone
#
# What the last three may do in which table is granted by the migration, which knows the tables.
set -euo pipefail

for name in AIRFLOW_DATABASE_PASSWORD BRIDGE_OWNER_PASSWORD BRIDGE_TASKS_PASSWORD BRIDGE_PANEL_PASSWORD \
    BRIDGE_PULL_PASSWORD; do
    if [ -z "${!name:-}" ]; then
        echo "databases.sh makes no role: the environment has no $name, the password of one of them. Set it and run it again." >&2
        exit 1
    fi
done

# psql reads the passwords from its environment: a process list shows arguments to everybody
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=VERBOSITY=terse \
    --dbname="${PGDATABASE:-postgres}" ${POSTGRES_USER:+"--username=$POSTGRES_USER"} <<'SQL'
\getenv airflow_password AIRFLOW_DATABASE_PASSWORD
\getenv owner_password BRIDGE_OWNER_PASSWORD
\getenv tasks_password BRIDGE_TASKS_PASSWORD
\getenv panel_password BRIDGE_PANEL_PASSWORD
\getenv pull_password BRIDGE_PULL_PASSWORD

SELECT current_setting('is_superuser') AS superuser \gset
\if :superuser
    -- else a server that logs statements would write the passwords down
    SET log_statement = 'none';
    SET log_min_duration_statement = -1;
    SET log_min_duration_sample = -1;
    SET log_transaction_sample_rate = 0;
    SET log_min_error_statement = 'panic';
    SET pg_stat_statements.track = 'none';
\endif
-- whatever the server's default is, it keeps no weaker hash
SET password_encryption = 'scram-sha-256';
SET client_min_messages = 'warning';

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['airflow', 'bridge_owner', 'bridge_tasks', 'bridge_panel', 'bridge_pull']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE airflow LOGIN PASSWORD :'airflow_password';
ALTER ROLE bridge_owner LOGIN PASSWORD :'owner_password';
ALTER ROLE bridge_tasks LOGIN PASSWORD :'tasks_password';
ALTER ROLE bridge_panel LOGIN PASSWORD :'panel_password';
ALTER ROLE bridge_pull LOGIN PASSWORD :'pull_password';

\if :superuser
\else
    -- who is no superuser may give a database only to a role that it is a member of
    GRANT airflow, bridge_owner TO CURRENT_USER;
\endif
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', name, owner)
FROM (VALUES ('airflow', 'airflow'), ('bridge', 'bridge_owner')) AS wanted (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

REVOKE ALL ON DATABASE airflow, bridge FROM PUBLIC;
REVOKE ALL ON DATABASE bridge FROM bridge_tasks, bridge_panel, bridge_pull;
GRANT CONNECT ON DATABASE bridge TO bridge_tasks, bridge_panel, bridge_pull;
GRANT TEMPORARY ON DATABASE bridge TO bridge_tasks;
SQL
