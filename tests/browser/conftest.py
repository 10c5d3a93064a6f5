"""One browser for all tests; each test sees a fresh page, and must not make it complain."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from selenium import webdriver

    from tests.browser.browser import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser; where there is none, its tests are skipped, but not in CI."""
    try:
        from tests.browser.browser import find_chromium, start_chromium
    except ImportError as exc:
        _missing(str(exc))
    found = find_chromium()
    if found is None:
        _missing("there is no chromium or no chromedriver (Debian: chromium, chromium-driver)")
    driver = start_chromium(*found)
    yield driver
    driver.quit()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def allowed_complaints() -> list[str]:
    """Parts of what the browser may complain of; for tests that break something."""
    return []


@pytest.fixture
async def browser(
    chromium: webdriver.Chrome, allowed_complaints: list[str]
) -> AsyncIterator[Browser]:
    """A window; the console must stay empty, and nothing be asked of another host."""
    from tests.browser.browser import Browser

    window = Browser(chromium)
    await window.prefer(color_scheme="light")
    await window.resize(1280)
    await window.complaints()
    await window.requests()
    yield window
    asked, complaints = await window.requests(), await window.complaints()
    await window.open("about:blank")
    await window.cdp("Emulation.setScriptExecutionDisabled", value=False)
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert len({host for host in hosts if host}) <= 1, f"foreign requests: {hosts}"
    unexpected = [
        text for text in complaints if not any(part in text for part in allowed_complaints)
    ]
    assert unexpected == []
