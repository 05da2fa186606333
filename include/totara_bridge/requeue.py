"""Having items sent again, or cancelled, by what they have in common."""
