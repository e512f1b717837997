"""Tables, a page and pictures from records: pure functions of the records and their prediction files."""

from .boards import Board, Row, boards
from .building import build, write_page
from .terminal import render_table

__all__ = ["Board", "Row", "boards", "build", "render_table", "write_page"]
