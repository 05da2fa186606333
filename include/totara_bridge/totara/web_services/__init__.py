"""Reading a Totara through its Moodle-style web services: all that is open where the database is not."""

from totara_bridge.totara.web_services.source import WebServicesSource, check

__all__ = ["WebServicesSource", "check"]
