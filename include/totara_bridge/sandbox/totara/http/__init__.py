"""A Totara site over HTTP: its web services, GraphQL API and reports, answered from a sandbox Totara's database."""
