"""Base models, the methods that adapt them, and what a run saves of them."""
