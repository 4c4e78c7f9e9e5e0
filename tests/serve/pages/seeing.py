"""A page in a browser, and what can be asked of it for those who see, hear or tap it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0  # seconds that something may take on a slow machine

# Text whose contrast with what lies behind it is below what WCAG 2 asks for (4.5, large text 3); links that lead out; controls without a name.
CONTRAST = """() => {
  const rgb = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, under) => top.slice(0, 3).map((value, at) => value * top[3] + under[at] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(rgb(getComputedStyle(at).backgroundColor));
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = (colour) => colour.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const low = [];
  for (const element of document.querySelectorAll("body *:not(svg *):not(.unseen):not(.skip):not(option)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), under = behind(element), large = parseFloat(style.fontSize) >= 24;
    const [one, other] = [light(over(rgb(style.color), under)), light(under)];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < (large ? 3 : 4.5)) low.push(`${contrast.toFixed(2)} ${element.tagName} ${element.className} ${element.textContent.slice(0, 40)}`);
  }
  return low;
}"""
NAMELESS = """() => [...document.querySelectorAll("input:not([type=hidden]), textarea, select, progress")]
  .filter((one) => !one.labels.length && !one.getAttribute("aria-label")).map((one) => one.outerHTML)"""
HEADINGS = "() => [...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))"
FOCUS = """() => { const at = document.activeElement, style = getComputedStyle(at);
  return [at.tagName, at.textContent.trim().slice(0, 30), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2]; }"""


class Seen:
    """A page, and what went wrong on it."""

    def __init__(self, browser: Any, url: str, width: int = 1280, scheme: str = "light", language: str = "en-US", **more: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language, base_url=url, **more)
        self.context.set_default_timeout(1000 * PATIENCE)
        self.page, self.wrong = self.context.new_page(), list[str]()
        self.page.on("request", lambda request: self.wrong.append(request.url) if not request.url.startswith(url) else None)
        self.page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        """The browser tells of pages that are not there, which are asked for here."""
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.wrong.append(message.text)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for it, from outside: the pages' own policy forbids the eval that playwright polls with."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, self.page.inner_text("body")
            self.page.wait_for_timeout(50)

    def reads(self, text: str) -> None:
        self.until(lambda: text in self.page.inner_text("main"))
