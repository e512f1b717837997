"""The page in a real browser: sorting, filtering, opening runs, by mouse and by keyboard, without a console error."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_grid, write_hostile_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import build

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

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

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_grid(folder, kinds=["classification", "regression"])
    for seed in range(2):
        path = write_run(folder, "hostile", seed, 0.9, predictions=[HOSTILE] * 200, task="other")
        records.write(records.read(path).replace(method=HOSTILE), path)
    for method in ("a", "b"):
        for seed in range(2):
            write_hostile_run(folder, method, seed, HOSTILE)
    build(folder)
    return folder / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Callable[..., Any]]:
    def open_page(width: int = 1280, height: int = 900, scheme: str = "light") -> Any:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(page.as_uri())
        return browser

    yield open_page
    assert browser.get_log("browser") == []  # of every test


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


def test_the_verdict_comes_first_and_marks_who_may_be_best(opened: Callable[..., Any]) -> None:
    section = board(opened())
    best = [cell for cell in section.find_elements(By.CSS_SELECTOR, "td.method") if "may be best" in cell.text]
    sentence = section.find_element(By.CSS_SELECTOR, ".verdict p").text
    assert best
    assert all(cell.find_element(By.CSS_SELECTOR, ".name").text in sentence for cell in best)


def test_axes_are_chosen_and_points_say_what_they_are(opened: Callable[..., Any]) -> None:
    section = board(opened())
    across = section.find_elements(By.CSS_SELECTOR, ".axis-choice select")[1]
    titles = [title.get_attribute("textContent") for title in section.find_elements(By.CSS_SELECTOR, ".point title")]
    assert len(titles) == 6
    assert all("\ntrainable parameters: " in title for title in titles)
    Select(across).select_by_visible_text("train time (s)")
    titles = [title.get_attribute("textContent") for title in section.find_elements(By.CSS_SELECTOR, ".point title")]
    assert all("\ntrain time (s): " in title for title in titles)
    assert len(section.find_elements(By.CSS_SELECTOR, ".loss")) == 6


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 400, 768, 1000, 1400])
def test_nothing_sticks_out_and_text_stands_out(opened: Callable[..., Any], width: int, scheme: str) -> None:
    browser = opened(width=width, scheme=scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    board(browser).find_element(By.CSS_SELECTOR, "button.run").click()
    dialog = browser.find_element(By.ID, "run")
    assert dialog.rect["width"] <= width
    ink, paper = (
        [int(part) for part in dialog.value_of_css_property(name).split("(")[1].split(",")[:3]]
        for name in ("color", "background-color")
    )
    assert abs(sum(ink) - sum(paper)) > 500
    assert (sum(paper) < sum(ink)) == (scheme == "dark")


def test_a_phone_shows_cards_with_every_figure_named(opened: Callable[..., Any]) -> None:
    section = board(opened(width=360))
    card = section.find_element(By.CSS_SELECTOR, "tbody tr")
    assert card.rect["width"] > 300
    labels = {cell.get_attribute("data-label") for cell in card.find_elements(By.TAG_NAME, "td")}
    assert {
        "tier",
        "accuracy ± std",
        "95 % interval",
        "trainable",
        "train time",
        "peak memory",
        "adapter file",
    } <= labels
    assert header(section, "accuracy").is_displayed()  # sorting stays possible
