"""How a table of tests is written and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import peft


@dataclass(frozen=True)
class Group:
    """Tests that are deselected for one reason.

    Attributes:
        tests: one pattern a line, `suite::test` with `*` and `?`, optionally followed by a space and a pattern of the
            test's name with its case (`test_x[case]`).
        methods: those of our methods that the group holds for; None is all.
        version: the only version of PEFT that the group is for; None is any.
    """

    reason: str
    tests: str
    methods: tuple[type, ...] | None = None
    version: str | None = None

    def lines(self) -> Iterator[str]:
        return (line.strip() for line in self.tests.strip().splitlines())

    def line_for(self, name: str, method: type | None, case: str) -> str | None:
        """The line that a test falls under, if any."""
        if self.methods is not None and method not in self.methods:
            return None
        if self.version is not None and not peft.__version__.startswith(f"{self.version}."):
            return None
        for line in self.lines():
            test, _, cases = line.partition(" ")
            if fnmatchcase(name, test) and fnmatchcase(case, cases or "*"):
                return line
        return None


class Table:
    """Groups, and which of their lines have met a test."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = tuple(groups)
        self.used: set[str] = set()

    def reason_for(self, name: str, method: type | None, case: str) -> str | None:
        """Why a test does not run; None if it does."""
        for group in self.groups:
            line = group.line_for(name, method, case)
            if line is not None:
                self.used.add(line)
                return group.reason
        return None

    def unused(self, suite: str) -> list[str]:
        """The lines about a suite, for any version of PEFT, that have met no test."""
        lines = (line for group in self.groups if group.version is None for line in group.lines())
        return sorted(line for line in lines if line.startswith(f"{suite}::") and line not in self.used)
