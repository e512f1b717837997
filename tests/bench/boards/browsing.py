"""What the tests of the page in a browser share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


def board(browser: Any, task: str = "synthetic_classification") -> Any:
    return browser.find_element(By.CSS_SELECTOR, f"section.board[data-task={task}]")


def until(browser: Any, condition: Callable[[Any], Any]) -> Any:
    """What `condition` finds, once it does: a browser sends `close` and `toggle` some time after the click."""
    return WebDriverWait(browser, 20).until(condition)


def methods(section: Any) -> list[str]:
    """The methods on a board as they are seen, from top to bottom."""
    rows = section.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.get_attribute("data-method") for row in rows if row.is_displayed()]


def header(section: Any, name: str) -> Any:
    return next(h for h in section.find_elements(By.CSS_SELECTOR, "th[aria-sort]") if h.text.startswith(name))
