#!/usr/bin/env bash
# Brings both databases to the revision of this image, and sees to it that somebody can log in and find the control
# panel. Safe to run at any time; the compose file and the Helm values run it before anything else of a new version.
set -euo pipefail

airflow db migrate
python -m totara_bridge.staging.migrate

# Under Airflow's FAB auth manager only those who may read plugins see a plugin in the menu.
airflow roles add-perms Viewer User --resource Plugins --action can_read

# Says so, and changes nothing, if there is somebody of this name. The password is asked for, since a process list shows
# arguments; without a terminal it is read from here.
printf '%s\n%s\n' "$AIRFLOW_ADMIN_PASSWORD" "$AIRFLOW_ADMIN_PASSWORD" | setsid --wait airflow users create \
    --username admin --firstname Bridge --lastname Administrator --email admin@localhost --role Admin
