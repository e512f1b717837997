"""What runs beside the models that are measured, in our interpreter or in a peer's: it needs torch and transformers.

Nothing here imports the rest of this project, so that a peer's environment need not have it.
"""
