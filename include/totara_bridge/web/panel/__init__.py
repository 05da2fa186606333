"""What the control panel asks for: JSON for our own page, free to change with it.

Everybody who asks has Airflow's login; who may look and who may manage is decided in `totara_bridge.web.panel.access`.
"""
