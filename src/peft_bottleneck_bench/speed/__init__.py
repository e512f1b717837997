"""The command `speed`: time and memory of adapters against the frozen base, PEFT's methods and AdapterHub's library.

Comparisons are fair: candidates take turns within each repetition, in alternating order, so that a slow moment of the
machine affects all of them; figures are ratios of turns of the same repetition. A library that needs an
environment of its own lives in another process, which waits for its turn. Memory is measured in a fresh process each.
"""

from .command import add_to

__all__ = ["add_to"]
