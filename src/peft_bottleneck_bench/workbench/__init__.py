"""Code that runs in the measured process, ours or a peer's: it needs torch and transformers.

Nothing here imports the rest of this project, so that a peer's environment does not need it.
"""
