"""A browser, for tests: what it shows and does can be asked for and waited for."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import trio
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 20.0
POLL_S = 0.05

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def find_chromium() -> tuple[str, str] | None:
    """Where Chromium and its driver are; None if one of them is missing."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


def start_chromium(chromium: str, driver: str) -> webdriver.Chrome:
    """A headless browser, which notes what it asks for and what goes wrong."""
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--disable-background-networking", "--no-first-run", "--hide-scrollbars"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


class Browser:
    """A window of a browser; everything is done in threads, as it blocks."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    async def open(self, url: str) -> None:
        """Go to a page."""
        await _aside(self.driver.get, url)

    async def js(self, script: str, *args: object) -> Any:
        """The value of an expression in the page, whose ``arguments`` are these."""
        return await _aside(lambda: self.driver.execute_script(f"return {script}", *args))

    async def until(self, script: str, *args: object) -> Any:
        """Wait until an expression in the page is true, and return its value."""

        def wait() -> Any:
            waiting = WebDriverWait(self.driver, PATIENCE_S, POLL_S)
            try:
                return waiting.until(
                    lambda driver: driver.execute_script(f"return {script}", *args)
                )
            except TimeoutException:
                shown = self.driver.execute_script("return document.body.innerText")
                raise AssertionError(f"never: {script} {args}\n{shown}") from None

        return await _aside(wait)

    async def text(self, css: str) -> str:
        """The text of an element, as it is shown."""
        text = await self.js("document.querySelector(arguments[0])?.innerText ?? ''", css)
        assert isinstance(text, str)
        return text

    async def until_text(self, css: str, text: str) -> None:
        """Wait until an element shows a text."""
        found = "document.querySelector(arguments[0])?.innerText.includes(arguments[1])"
        await self.until(found, css, text)

    async def until_source(self, text: str) -> None:
        """Wait until the document contains a text, which needs no scripts in it."""
        waiting = WebDriverWait(self.driver, PATIENCE_S, POLL_S)
        await _aside(waiting.until, lambda driver: text in driver.page_source)

    async def click(self, css: str) -> None:
        """Click on an element that can be seen."""
        await _aside(lambda: self.driver.find_element("css selector", css).click())

    async def type(self, css: str, keys: str) -> None:
        """Press keys on an element."""
        await _aside(lambda: self.driver.find_element("css selector", css).send_keys(keys))

    async def press(self, keys: str) -> None:
        """Press keys where the focus is."""
        await _aside(lambda: self.driver.switch_to.active_element.send_keys(keys))

    async def cdp(self, command: str, **parameters: object) -> Any:
        """Ask the browser itself."""
        return await _aside(lambda: self.driver.execute_cdp_cmd(command, parameters))

    async def resize(self, width: int, height: int = 900) -> None:
        """Show pages at a width."""
        await self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefer(self, **features: str) -> None:
        """Show pages as this reader prefers: ``color_scheme="dark"``."""
        wanted = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        await self.cdp("Emulation.setEmulatedMedia", features=wanted)

    async def screenshot(self, path: Path, height: int | None = None) -> None:
        """Take a picture of the page."""
        width, whole = await self.js("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        shot = await self.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        await trio.Path(path).write_bytes(base64.b64decode(shot["data"]))

    async def _log(self, name: str) -> list[dict[str, str]]:
        driver: Any = self.driver  # this method of it has no types
        entries: list[dict[str, str]] = await _aside(driver.get_log, name)
        return entries

    async def complaints(self) -> list[str]:
        """What was logged to the console since this was last asked."""
        entries = await self._log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    async def requests(self) -> list[str]:
        """The addresses that were asked for since this was last asked."""
        entries = await self._log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    async def barriers(self) -> list[str]:
        """What axe-core finds to keep people from using the page (WCAG 2.1, A and AA)."""
        script = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]

        def check() -> Any:
            self.driver.execute_script(script)
            return self.driver.execute_async_script(
                "axe.run({runOnly: arguments[0]}).then(arguments[1])", rules
            )

        found = await _aside(check)
        return [
            f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]


async def _aside(do: Callable[[*Ts], T], *args: *Ts) -> T:
    return await trio.to_thread.run_sync(do, *args)
