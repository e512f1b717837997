"""The pages of the site that are made of other files; mkdocs.yml names this file under `hooks`.

- contributing.md, security.md and changelog.md are CONTRIBUTING.md, SECURITY.md and CHANGELOG.md.
- examples.md lists the files of examples/ with the first lines of their docstrings.
- A drawing (`![…](images/….svg)`, alone in its paragraph) becomes a part of the page, and so has the page's colours.
- leaderboard/index.md has results/LEADERBOARD.md where that exists, and leaderboard/<comparison>.md the boards of each
  comparison; their pages with all details and their pictures are beside them.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from comparisons import COMPARISONS
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
WHOLE = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md"}
RESULTS = ROOT / "results"
BOARD_MARK = "<!-- leaderboard -->"
EXAMPLES_MARK = "<!-- examples -->"
DRAWING = re.compile(r"^!\[([^\]]*)\]\((?:\.\./)*(images/\w+\.svg)\)$", re.MULTILINE)
WITHOUT = "There are no committed scores here yet: they appear as soon as their records are in `results/`."
GENERATED = re.compile(r"^Generated from the records in this folder.*$\n*", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that other files are, and the leaderboard's own page and pictures."""
    for page, source in WHOLE.items():
        files.append(File.generated(config, page, content=_within_the_site((ROOT / source).read_text("utf-8"))))
    for comparison in COMPARISONS:
        folder = comparison.folder
        text = boards(RESULTS / folder, folder)
        files.append(File.generated(config, f"leaderboard/{folder}.md", content=f"# {comparison.title}\n\n{text}\n"))
        if (RESULTS / folder / "index.html").exists():
            page = str(RESULTS / folder / "index.html")
            files.append(File.generated(config, f"leaderboard/boards-{folder}.html", abs_src_path=page))
        for picture in sorted((RESULTS / folder / "pictures").glob("*.*")):
            name = f"leaderboard/pictures-{folder}/{picture.name}"
            files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills the marks of a page."""
    if BOARD_MARK in markdown:
        markdown = markdown.replace(BOARD_MARK, leaderboard(RESULTS))
    if EXAMPLES_MARK in markdown:
        markdown = markdown.replace(EXAMPLES_MARK, examples(ROOT / "examples"))
    return DRAWING.sub(_drawing, markdown)


def leaderboard(results: Path) -> str:
    """The summary of the committed leaderboard as a part of a page, or a sentence where there is none."""
    text = _body(results)
    text = re.sub(r"\]\(([\w-]+)/LEADERBOARD\.md\)", r"](\1.md)", text)
    return re.sub(r"\]\(([\w-]+)/index\.html\)", r"](boards-\1.html)", text)


def boards(results: Path, folder: str) -> str:
    """The boards of one comparison as a page without its title."""
    text = _body(results).replace("](pictures/", f"](pictures-{folder}/")
    if (results / "index.html").exists():
        link = f"[The page with every run, curve and example](boards-{folder}.html)"
        text = f"{link} is made of the same records.\n\n{text}"
    return text


def _body(results: Path) -> str:
    """LEADERBOARD.md without its title and the sentence on how it is made."""
    file = results / "LEADERBOARD.md"
    if not file.exists():
        return WITHOUT
    return GENERATED.sub("", file.read_text(encoding="utf-8").partition("\n")[2]).strip()


def examples(folder: Path) -> str:
    """One row for each script and notebook: its file and the first sentence about it."""
    rows = [f"| `examples/{file.name}` | {_first_line(file)} |" for file in sorted(folder.glob("*.*"))]
    return "\n".join(["| file | what it shows |", "| --- | --- |", *rows])


def _first_line(file: Path) -> str:
    if file.suffix == ".ipynb":
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        return "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def _drawing(found: re.Match[str]) -> str:
    """The drawing itself in place of a link to it, without the colours that it has alone."""
    svg = (ROOT / "docs" / found[2]).read_text(encoding="utf-8")
    svg = re.sub(r"\n *<style>.*?</style>", "", svg, flags=re.DOTALL)
    return f'<figure class="drawing" markdown="0">{svg.strip()}</figure>'


def _within_the_site(text: str) -> str:
    """The links of a file at the root of the repository, for a page of the site."""
    for page, source in WHOLE.items():
        text = text.replace(f"]({source})", f"]({page})")
    return re.sub(r"\]\(docs/", "](", text)
