"""Totara Bridge: moves learning data between the Totara LMS and Oracle on Apache Airflow."""
