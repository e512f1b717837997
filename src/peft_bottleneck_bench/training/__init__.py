"""One run: its features, training, costs and record."""
