"""The page in a real browser: sorting, filtering, opening runs, by mouse and by keyboard, without a console error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_grid, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.leaderboard import build

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

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
    accuracy = header(section, "accuracy")
    accuracy.find_element(By.TAG_NAME, "button").click()
    assert accuracy.get_attribute("aria-sort") == "descending"
    assert header(section, "tier").get_attribute("aria-sort") == "none"
    scores = [float(b.text) for b in section.find_elements(By.CSS_SELECTOR, "td.score b")]
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
    assert status.text == "13 of 13 rows"
    field = browser.find_element(By.ID, "filter-method")
    field.send_keys("HOUL lora")
    assert sorted(methods(board(browser))) == ["houlsby", "lora"]
    assert not board(browser, "other").is_displayed()
    assert status.text == "4 of 13 rows"
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
    assert len(dialog.find_elements(By.CSS_SELECTOR, "polyline")) == 2
    total = sum(int(cell.text) for cell in dialog.find_elements(By.CSS_SELECTOR, "td[style*=background]"))
    assert total == 200  # the confusion matrix counts every example
    assert browser.switch_to.active_element.text == "Close"
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert browser.switch_to.active_element == button


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
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
    assert {"tier", "accuracy", "95 % interval", "trainable", "train time", "peak memory", "adapter file"} <= labels
    assert header(section, "accuracy").is_displayed()  # sorting stays possible
