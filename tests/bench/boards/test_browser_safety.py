"""Text of records that wants to be code, in a real browser: it is shown, and does not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from browsing import HOSTILE, IN_A_BROWSER, By, board

pytestmark = IN_A_BROWSER


def test_script_like_text_is_shown_and_not_run(opened: Callable[..., Any]) -> None:
    browser = opened()
    section = board(browser, "other")
    assert HOSTILE in section.find_element(By.CSS_SELECTOR, "td.method").text
    section.find_element(By.CSS_SELECTOR, "button.run").click()
    dialog = browser.find_element(By.ID, "run")
    assert HOSTILE in dialog.text
    assert not dialog.find_elements(By.CSS_SELECTOR, "img, script")
    assert browser.title == "peft-bottleneck leaderboard"


def test_hostile_text_in_every_field_is_shown_and_not_run(opened: Callable[..., Any]) -> None:
    browser = opened()
    (section,) = [
        section
        for section in browser.find_elements(By.CSS_SELECTOR, "section.board")
        if section.get_attribute("data-task") == HOSTILE
    ]
    assert HOSTILE in section.find_element(By.CSS_SELECTOR, ".facts").text
    section.find_element(By.CSS_SELECTOR, "button.run").click()
    dialog = browser.find_element(By.ID, "run")
    for heading in ("Scores", "By label", "Errors", "Configuration"):
        assert heading in dialog.text
    assert dialog.text.count(HOSTILE) > 10
    assert not browser.find_elements(By.CSS_SELECTOR, "body img, dialog script, section script")
    assert browser.title == "peft-bottleneck leaderboard"


def test_the_policy_stops_code_that_is_not_the_page_s_own(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'document.title = \"owned\"';"
        "document.body.append(script);"
        "document.body.insertAdjacentHTML('beforeend',"
        '\'<img src=x onerror="document.title = 1"><p style="color: red" id=red>\');'
    )
    assert browser.title == "peft-bottleneck leaderboard"
    assert "rgb(255, 0, 0)" not in browser.find_element(By.ID, "red").value_of_css_property("color")
    assert len([entry for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]]) >= 3
