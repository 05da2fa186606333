"""Sending to Oracle: access tokens, the request, and what each answer means for each item."""
