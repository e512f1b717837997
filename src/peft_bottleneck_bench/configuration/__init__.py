"""Run configurations, checked and completed."""
