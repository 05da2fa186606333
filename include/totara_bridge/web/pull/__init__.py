"""The Pull API, version 1: external systems fetch completions with a token and acknowledge what they took.

It runs in Airflow's API server, and alone::

    uvicorn --factory totara_bridge.web.pull:alone

A request is let in by `gate`, read by `parameters`, and answered from one statement: PostgreSQL makes the text of a
page, and nothing here makes a Python object of a row.
"""

from totara_bridge.web.pull.app import alone, pull_app

__all__ = ["alone", "pull_app"]
