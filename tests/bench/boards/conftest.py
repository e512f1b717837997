"""The page of a leaderboard in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_grid, write_hostile_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import build


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with boards of two kinds, and two with text that wants to be code."""
    from browsing import HOSTILE

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


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, headless."""
    from browsing import CHROMIUM, DRIVER, FLAGS, webdriver  # which skip the test without selenium

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
    """Opens the page in a window of some size; in the end its console has to be empty."""

    def open_page(width: int = 1280, height: int = 900, scheme: str = "light") -> Any:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(page.as_uri())
        return browser

    yield open_page
    assert browser.get_log("browser") == []  # of every test
