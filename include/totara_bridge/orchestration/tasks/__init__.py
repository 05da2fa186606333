"""The bodies of the DAGs' tasks, a module per DAG: what they need is looked up here, what they do is in the use cases.

What a task returns is counts, never data.
"""
