"""Checkpoints of AdapterHub's library (`adapters`), in and out.

What our equations do not express is refused by name, never loaded or saved with other numbers.
"""

from .checkpoints import read_head
from .directories import load_adapterhub, save_adapterhub
from .files import locate, read_tensors
from .heads import Head

__all__ = ["Head", "load_adapterhub", "locate", "read_head", "read_tensors", "save_adapterhub"]
