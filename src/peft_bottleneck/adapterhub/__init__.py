"""Checkpoints of AdapterHub's library (`adapters`), in and out.

What our equations do not express is refused by name, never loaded or saved with other numbers.
"""

from .checkpoints import load_adapterhub, save_adapterhub

__all__ = ["load_adapterhub", "save_adapterhub"]
