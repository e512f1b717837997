"""How the page looks in a real browser: on a phone and on a desk, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import IN_A_BROWSER, By, board, header, methods
from selenium.webdriver.support.ui import Select

pytestmark = IN_A_BROWSER
COMMITTED = sorted((Path(__file__).parents[3] / "results").glob("*/index.html"))


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


def test_each_method_has_a_panel_of_losses_with_a_name(opened: Callable[..., Any]) -> None:
    section = board(opened())
    panels = section.find_elements(By.CSS_SELECTOR, ".losses .panel")
    assert [panel.find_element(By.TAG_NAME, "p").text for panel in panels] == methods(section)
    for panel in panels:
        (picture,) = panel.find_elements(By.CSS_SELECTOR, "svg[role=img]")
        name = panel.find_element(By.TAG_NAME, "p").text
        assert re.fullmatch(
            rf"training loss of {name}, mean over seeds: from [\d.]+ at step \d+ to [\d.]+ at step \d+",
            picture.get_attribute("aria-label"),
        )
        assert len(picture.find_elements(By.CSS_SELECTOR, ".loss .mean")) == 1
        assert len(picture.find_elements(By.CSS_SELECTOR, ".other")) == len(panels) - 1


@pytest.mark.parametrize("width", [1000, 1400])
def test_no_column_of_the_committed_boards_is_cut_off(opened: Callable[..., Any], width: int) -> None:
    browser = opened(width=width)
    for page in COMMITTED:
        browser.get(page.as_uri())
        frames = browser.find_elements(By.CSS_SELECTOR, ".frame")
        assert frames
        for frame in frames:
            assert int(frame.get_attribute("scrollWidth")) <= int(frame.get_attribute("clientWidth"))


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
