"""What is served over HTTP: the Pull API for machines. No page of it needs or takes Airflow's login."""
