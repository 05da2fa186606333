"""An Oracle for tests and the local run: a token endpoint, a completions endpoint, and faults on demand.

It speaks the wire format that docs/oracle-endpoint.md publishes and imports nothing of the product: the two
sides of the contract are written apart.
"""
