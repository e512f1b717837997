"""Any metric of the Hugging Face Hub, under the same names as the package's own."""

from __future__ import annotations

from typing import Any

import evaluate

from ..errors import UserError, suggest
from .base import Answers


class HubMetric:
    """A metric that `evaluate.load` fetches. Its scores are the plain numbers that it returns.

    It cannot be resampled by example, so a leaderboard shows its spread over seeds alone.

    Args:
        name: of the metric on the Hub.
        main: the score that the task is judged by; needed, since the Hub names none.
        greater_is_better: whether a greater main score is better.
        revision: of the metric's code; the newest if not given.

    Raises:
        UserError: `main` is missing.
        OSError, ImportError: the metric, or a package that it needs, is not there.
    """

    def __init__(
        self, name: str, *, main: str = "", greater_is_better: bool = True, revision: str | None = None
    ) -> None:
        self.module = evaluate.load(name, revision=revision, keep_in_memory=True)
        if not main:
            raise UserError(f"metric '{name}': say which of its scores is the main one, as in main: score")
        self.name, self.main, self.greater_is_better, self.revision = name, main, greater_is_better, revision

    @property
    def options(self) -> dict[str, object]:
        return {"main": self.main, "greater_is_better": self.greater_is_better, "revision": self.revision}

    @property
    def signature(self) -> str:
        return f"{self.name}|revision:{self.revision or 'newest'}|evaluate:{evaluate.__version__}"

    def compute(self, *, references: Answers, predictions: Answers) -> dict[str, float]:
        """All scores by name.

        Raises:
            UserError: the main score is not among them.
        """
        result = self.module.compute(references=references, predictions=predictions)
        scores = {name: float(value) for name, value in result.items() if isinstance(value, (int, float))}
        if self.main not in scores:
            raise UserError(f"metric '{self.name}' gave no score '{self.main}': {suggest(self.main, scores)}")
        return scores

    def report(self, references: Answers, predictions: Answers) -> list[dict[str, Any]]:
        """No rows: the Hub's metrics have no common report."""
        return []
