"""Which names are safe, and how others become safe."""

from __future__ import annotations

import pytest

from peft_bottleneck_bench.file_names import LONGEST_SLUG, file_name_problem, slug


@pytest.mark.parametrize("name", ["sst2", "a b", "houlsby r=24", "模型", "a.b", ".hidden", "x" * 255, "a,b(c)"])
def test_a_safe_name_has_no_problem(name: str) -> None:
    assert file_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        (".", "names a special folder"),
        ("..", "names a special folder"),
        ("../x", "has /"),
        ("/etc/passwd", "has /"),
        ("a\\b", "has \\"),
        ("C:x", "has :"),
        ('a?b*"', 'has " * ?'),
        ("a\nb", "has a character that does not show"),
        ("a\x00", "has a character that does not show"),
        ("a\u202eb", "has a character that does not show"),
        (" a", "begins or ends with a space, or ends with a dot"),
        ("a.", "begins or ends with a space, or ends with a dot"),
        ("x" * 256, "is longer than 255 bytes"),
        ("模" * 100, "is longer than 255 bytes"),
    ],
)
def test_an_unsafe_name_says_why(name: str, problem: str) -> None:
    assert file_name_problem(name) == problem


@pytest.mark.parametrize("text", ["Sst2 · all-MiniLM", "../../x", "", "模型", "a" * 300, "\x00\x1b[2J", ".."])
def test_a_slug_is_a_safe_short_name(text: str) -> None:
    name = slug(text)
    assert file_name_problem(name) is None
    assert len(name) <= LONGEST_SLUG + 9
    assert name == slug(text)


def test_texts_that_are_cut_alike_keep_apart() -> None:
    assert slug("a" * 300) != slug("a" * 301)
    assert slug("模") != slug("型")
    assert slug("Sst2 · all-MiniLM") == "sst2-all-minilm"
