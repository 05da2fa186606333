"""Looking whether the promises of delivery are kept."""
