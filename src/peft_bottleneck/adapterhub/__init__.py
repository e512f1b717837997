"""Checkpoints of AdapterHub's library (`adapters`), in and out.

Features that our equations do not express are refused by name, never changed silently.
"""

from .checkpoints import read_head
from .directories import load_adapterhub, save_adapterhub
from .files import locate, read_tensors
from .heads import Head

__all__ = ["Head", "load_adapterhub", "locate", "read_head", "read_tensors", "save_adapterhub"]
