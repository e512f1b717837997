"""Base models, and the methods that adapt them."""
