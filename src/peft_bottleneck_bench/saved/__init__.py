"""Trained weights in a folder: written, described, and read again."""
