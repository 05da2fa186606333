"""Deleting finished rows that are past their retention."""
