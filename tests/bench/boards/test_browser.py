"""The page in a real browser: sorting, filtering, opening runs, by mouse and by keyboard, without a console error."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browsing import IN_A_BROWSER, By, board, header, methods, until
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

pytestmark = IN_A_BROWSER


def test_headers_sort_and_say_how(opened: Callable[..., Any]) -> None:
    section = board(opened())
    assert header(section, "tier").get_attribute("aria-sort") == "ascending"
    by_tier = methods(section)
    accuracy = header(section, "accuracy ± std")
    accuracy.find_element(By.TAG_NAME, "button").click()
    assert accuracy.get_attribute("aria-sort") == "descending"
    assert header(section, "tier").get_attribute("aria-sort") == "none"
    scores = [float(cell.text.split(" ")[0]) for cell in section.find_elements(By.CSS_SELECTOR, "td.score")]
    assert scores == sorted(scores, reverse=True)
    accuracy.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert accuracy.get_attribute("aria-sort") == "ascending"
    assert methods(section)[0] == "head_only"
    header(section, "tier").find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert methods(section) == by_tier
    assert by_tier[-1] == "lora"  # incomplete: last in either direction
    header(section, "tier").find_element(By.TAG_NAME, "button").click()
    assert methods(section)[-1] == "lora"
    assert methods(section)[0] == "head_only"


def test_filters_narrow_rows_and_sections(opened: Callable[..., Any]) -> None:
    browser = opened()
    status = browser.find_element(By.ID, "status")
    assert status.text == "15 of 15 rows"
    field = browser.find_element(By.ID, "filter-method")
    field.send_keys("HOUL lora")
    assert sorted(methods(board(browser))) == ["houlsby", "lora"]
    assert not board(browser, "other").is_displayed()
    assert status.text == "4 of 15 rows"
    browser.find_element(By.ID, "filter-complete").click()
    assert methods(board(browser)) == ["houlsby"]
    field.clear()
    Select(browser.find_element(By.ID, "filter-task")).select_by_visible_text("synthetic_regression")
    assert not board(browser).is_displayed()
    assert methods(board(browser, "synthetic_regression")) != []


def test_a_run_opens_by_keyboard_and_gives_the_focus_back(opened: Callable[..., Any]) -> None:
    browser = opened()
    button = board(browser).find_element(By.CSS_SELECTOR, "button.run")
    button.send_keys(Keys.ENTER)
    dialog = browser.find_element(By.ID, "run")
    assert dialog.is_displayed()
    headings = [h.text for h in dialog.find_elements(By.TAG_NAME, "h3")]
    assert headings == ["Scores", "Curves", "By label", "Confusion matrix", "Errors", "Configuration"]
    assert len(dialog.find_elements(By.CSS_SELECTOR, "polyline.curve")) == 2
    total = sum(int(cell.text) for cell in dialog.find_elements(By.CSS_SELECTOR, "td.heat"))
    assert total == 200  # the confusion matrix counts every example
    assert browser.switch_to.active_element.text == "Close"
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(browser, lambda _: not dialog.is_displayed())
    until(browser, lambda _: browser.switch_to.active_element == button)


def test_a_failed_run_says_why(opened: Callable[..., Any]) -> None:
    browser = opened()
    board(browser).find_element(By.CSS_SELECTOR, "button.run.failed").click()
    assert "failed: the loss is NaN at step 40" in browser.find_element(By.ID, "run").text


def test_filters_and_the_open_run_are_in_the_address(opened: Callable[..., Any], page: Path) -> None:
    browser = opened()
    browser.find_element(By.ID, "filter-method").send_keys("lora")
    Select(browser.find_element(By.ID, "filter-task")).select_by_visible_text("synthetic_regression")
    board(browser, "synthetic_regression").find_element(By.CSS_SELECTOR, "tr:not([hidden]) button.run").click()
    title = browser.find_element(By.ID, "run-title").text
    address = browser.current_url
    browser.get("about:blank")
    browser.get(address)
    assert browser.find_element(By.ID, "run-title").text == title
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(browser, lambda _: "run=" not in browser.current_url)
    assert browser.find_element(By.ID, "filter-method").get_attribute("value") == "lora"
    assert methods(board(browser, "synthetic_regression")) == ["lora"]
    assert not board(browser).is_displayed()


def test_no_match_says_so_and_offers_the_way_back(opened: Callable[..., Any]) -> None:
    browser = opened()
    browser.find_element(By.ID, "filter-method").send_keys("nothing like this")
    nothing = browser.find_element(By.ID, "nothing")
    assert "No row matches these filters." in nothing.text
    nothing.find_element(By.ID, "clear").click()
    assert not nothing.is_displayed()
    assert browser.find_element(By.ID, "status").text == "15 of 15 rows"


def test_disagreements_are_sorted_and_sort(opened: Callable[..., Any]) -> None:
    browser = opened()
    section = board(browser)
    section.find_element(By.CSS_SELECTOR, ".examples summary").click()
    table = until(browser, lambda _: section.find_elements(By.CSS_SELECTOR, ".examples table"))[0]

    def column() -> list[float]:
        return [float(cell.text) for cell in table.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(2)")]

    found = column()
    assert found == sorted(found, reverse=True)
    table.find_elements(By.CSS_SELECTOR, "th button")[1].click()
    assert column() == sorted(found)


def test_tables_can_be_downloaded(opened: Callable[..., Any], tmp_path: Path) -> None:
    browser = opened()
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    board(browser).find_element(By.CSS_SELECTOR, ".download-csv").click()
    browser.find_element(By.ID, "download-json").click()
    deadline = time.monotonic() + 20
    while len(names := [path for path in tmp_path.iterdir() if path.suffix in (".csv", ".json")]) < 2:
        assert time.monotonic() < deadline, names
        time.sleep(0.1)
    (table,) = tmp_path.glob("*.csv")
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    assert rows[0][:4] == ["tier", "ranks", "method", "accuracy ± std"]
    assert len(rows) == 7
    (content,) = tmp_path.glob("*.json")
    assert len(json.loads(content.read_text())) == 4
