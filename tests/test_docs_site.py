"""The site builds with warnings as errors, and its pages need nothing from elsewhere; its links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import peft_bottleneck
import peft_bottleneck_bench

pytest.importorskip("material")
pytest.importorskip("mkdocstrings_handlers.python")

ROOT = Path(__file__).parents[1]


class Page(HTMLParser):
    """The anchors of a page, where its links lead, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in found:
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.loaded.append(found["href"])


def build(site: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The pages of the site by their paths in it."""
    site = tmp_path_factory.mktemp("site")
    build(site)
    return {str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html"))}


def test_the_links_between_pages_lead_somewhere(pages: dict[str, Page]) -> None:
    followed = 0
    for name, page in pages.items():
        if name == "404.html":  # served for any address: its links begin at the root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{name}: {link}"
            other = next((one for one in pages.values() if one.path == target), None)
            if parts.fragment and other is not None:
                assert unquote(parts.fragment) in {*other.anchors, "__skip"}, f"{name}: {link}"
            followed += 1
    assert followed > 500


def test_nothing_is_loaded_from_elsewhere(pages: dict[str, Page]) -> None:
    loaded = {(name, source) for name, page in pages.items() for source in page.loaded}
    assert len(loaded) > len(pages)
    assert not [(name, source) for name, source in loaded if re.match(r"(https?:)?//", source)]
    styles = next(iter(pages.values())).path.parent.rglob("*.css")
    assert not [style for style in styles if re.search(r"url\((https?:)?//|@import", style.read_text("utf-8"))]


def test_lists_are_lists(pages: dict[str, Page]) -> None:
    """GitHub shows a list below a line of text; the site runs it into the text unless a blank line is between them."""
    for name, page in pages.items():
        paragraphs = re.findall(r"<p>(.*?)</p>", page.path.read_text(encoding="utf-8"), re.DOTALL)
        assert not [text for text in paragraphs if re.search(r"\n(?:[-*]|\d+\.) ", text)], name


def test_every_public_name_has_its_reference(pages: dict[str, Page]) -> None:
    anchors = {anchor for name, page in pages.items() if name.startswith("reference/") for anchor in page.anchors}
    for module in (peft_bottleneck, peft_bottleneck_bench):
        named = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith(f"{module.__name__}.")}
        assert set(module.__all__) <= named


@pytest.fixture(scope="module")
def site_pages() -> Any:
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "tools" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))  # as MkDocs does for a hook
        spec.loader.exec_module(module)
    return module


def test_the_leaderboard_is_there_once_it_is_committed(site_pages: Any, tmp_path: Path) -> None:
    assert site_pages.leaderboard(tmp_path) == site_pages.boards(tmp_path, "encoder") == site_pages.WITHOUT
    shutil.copy(ROOT / "benchmarks" / "scores" / "encoder" / "LEADERBOARD.md", tmp_path)
    text = site_pages.boards(tmp_path, "encoder")
    assert text.startswith("**score**")
    assert "| houlsby |" in text
    assert "](pictures-encoder/" in text
    (tmp_path / "index.html").touch()
    assert site_pages.boards(tmp_path, "encoder").startswith("[The page with every run")
    (tmp_path / "LEADERBOARD.md").write_text(
        "# Leaderboard\n\nGenerated from the records in this folder by `make leaderboard`; do not edit.\n\n"
        "[Tables](encoder/LEADERBOARD.md), [page](encoder/index.html)\n"
    )
    assert site_pages.leaderboard(tmp_path) == "[Tables](encoder.md), [page](boards-encoder.html)"


def test_every_page_has_its_place_in_the_navigation(site_pages: Any) -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    configuration = yaml.safe_load(text)
    assert configuration["strict"] is True
    named = set(re.findall(r"[\w/-]+\.md", text))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    boards = {f"leaderboard/{one.folder}.md" for one in site_pages.COMPARISONS}
    assert named == there | boards | {"contributing.md", "security.md", "changelog.md"}
