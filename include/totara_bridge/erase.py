"""Erasing what the bridge holds about one learner."""
