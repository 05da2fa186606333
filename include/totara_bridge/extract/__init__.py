"""Totara → staging → queue: what a run of an extract does."""

from totara_bridge.extract.run import Extracted, extract_site

__all__ = ["Extracted", "extract_site"]
