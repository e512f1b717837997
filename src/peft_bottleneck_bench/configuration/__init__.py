"""Run configurations: what a user may write, checked and completed."""
