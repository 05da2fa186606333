"""The one-command local run: an embedded PostgreSQL, the sandbox systems and Airflow."""
