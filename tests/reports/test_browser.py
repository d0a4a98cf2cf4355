"""The report page in a real browser: no error, no request, every control by mouse and by keyboard, narrow and dark.

Needs selenium (extra `browser`), and Chromium with its driver; REFSIM_CHROMIUM and REFSIM_CHROMEDRIVER say where, else
they are searched for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refsim

pytestmark = pytest.mark.heavy

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = os.environ.get("REFSIM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = os.environ.get("REFSIM_CHROMEDRIVER") or shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM or not DRIVER:
        pytest.skip("no chromium, or no chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    from selenium.webdriver.chrome.service import Service

    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(params=["page", "hostile"])
def opened(request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> Any:
    """The page, opened anew."""
    path = tmp_path / "report.html"
    request.getfixturevalue(request.param).save(path)
    browser.get_log("performance")
    browser.get(path.as_uri())
    return browser


def element(browser: Any, name: str) -> Any:
    return browser.find_element("id", name)


def drawn(browser: Any) -> str:
    """All that the walk shows."""
    return browser.execute_script(
        """return ["walk-raster", "walk-potential", "walk-say"]
        .map((id) => document.getElementById(id).innerHTML).join()
        + Array.from(document.querySelectorAll("#walk-maps canvas"), (each) => each.toDataURL()).join()"""
    )


def test_nothing_goes_wrong_and_nothing_leaves_the_page(opened: Any) -> None:
    assert opened.execute_script("return window.broken") is None
    assert [each for each in opened.get_log("browser") if each["level"] in ("SEVERE", "WARNING")] == []
    sent = [json.loads(each["message"])["message"] for each in opened.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}
    assert len([url for url in urls if url.startswith("file:")]) == 1


def test_every_control_changes_what_is_drawn(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    # Back and forth at the end: an image whose spikes are the same may look the same.
    for name, keys in (
        ("walk-step", Keys.ARROW_LEFT),
        ("walk-layer", Keys.ARROW_DOWN),
        ("walk-neurons", Keys.ARROW_DOWN),
        ("walk-image", Keys.ARROW_DOWN),
    ):
        before = drawn(opened)
        element(opened, name).send_keys(keys)
        assert drawn(opened) != before, name
    element(opened, "walk-kind").send_keys(Keys.ARROW_DOWN)
    assert element(opened, "walk-kind").get_attribute("value") == "1"
    assert "\u03b8neg" in drawn(opened) or "theta-neg" in drawn(opened)
    before = drawn(opened)
    opened.find_elements("css selector", "#walk-raster .row")[2].click()
    assert drawn(opened) != before
    assert element(opened, "walk-neurons").find_elements("css selector", "option")[2].is_selected()
    assert opened.get_log("browser") == []


def test_every_control_is_reached_with_the_tab_key(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    seen = set()
    for _ in range(80):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        seen.add(opened.switch_to.active_element.get_attribute("id"))
    assert {"theme", "walk-image", "walk-kind", "walk-layer", "walk-step", "walk-neurons"} <= seen


def test_the_theme_changes_with_the_button_and_follows_the_system(opened: Any) -> None:
    def background() -> str:
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    for scheme in ("dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        opened.refresh()
        first = background()
        assert first == ("rgb(21, 24, 28)" if scheme == "dark" else "rgb(255, 255, 255)")
        element(opened, "theme").click()
        assert background() != first
        assert element(opened, "theme").get_attribute("aria-pressed") == ("false" if scheme == "dark" else "true")


@pytest.mark.parametrize("width", [400, 1000])
def test_nothing_sticks_out(opened: Any, width: int) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    opened.refresh()
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    small = opened.execute_script(
        """return Array.from(document.querySelectorAll("p, td, th, dd, figcaption, #walk-raster text"))
        .map((each) => parseFloat(getComputedStyle(each).fontSize)).filter((size) => size < 11)"""
    )
    assert small == []


def test_it_prints_black_on_white(opened: Any) -> None:
    opened.execute_script("document.documentElement.dataset.theme = 'dark'")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    colours = opened.execute_script(
        "const look = getComputedStyle(document.body); return [look.color, look.backgroundColor]"
    )
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


@pytest.mark.parametrize("name", ["fashion-vgg7", "resnet20", "vgg16"])
def test_pages_of_shipped_networks_are_light_and_open_quickly(browser: Any, tmp_path: Path, name: str) -> None:
    file = refsim.load(None if name == "fashion-vgg7" else name)
    page = refsim.report(file, T=16, limit=20, closer=4)
    path = tmp_path / "report.html"
    page.save(path)
    assert path.stat().st_size < 3_000_000
    times = []
    for _ in range(3):
        browser.get(path.as_uri())
        times.append(
            browser.execute_script("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        )
    print(f"{name}: {path.stat().st_size / 1e6:.2f} MB, opens in {sorted(times)[1]:.0f} ms")
    assert min(times) < 1000
