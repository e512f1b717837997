"""Predictions of a trained adapter for new text."""
