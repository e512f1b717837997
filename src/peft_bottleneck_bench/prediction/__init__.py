"""What a trained adapter says of new text."""
