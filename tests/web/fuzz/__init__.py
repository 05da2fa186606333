"""What schemathesis is told besides the OpenAPI document, in a process of its own."""

#: In the environment: a good cursor of each feed, by its path, as JSON.
CURSORS = "TOTARA_BRIDGE_FUZZ_CURSORS"
