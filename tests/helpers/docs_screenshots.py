"""Draws the images of the app that README shows anew: docs/space_search.png and docs/space_describe.png.

    python -m tests.helpers.docs_screenshots

Run it after the app's texts or looks have changed; it needs Chromium.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.helpers.paths import ROOT
from tests.helpers.space_server import Server, open_browser, watched_page

QUERY = "A man in a blue plaid shirt and khaki trousers, pulling a brown suitcase."
PICKED_RESULT = 2
PICKED_SAMPLE = 5
WINDOW_WIDTH = 1280


def save(page: Page, name: str) -> None:
    """Save the column that holds the app, without the empty space at its sides."""
    # The mouse would leave a button lit.
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    image = Image.open(io.BytesIO(page.locator(".gradio-container").screenshot()))
    # 256 colours are enough, and make the file a third as large.
    image.convert("RGB").quantize(256).save(ROOT / "docs" / f"{name}.png", optimize=True)
    print(f"docs/{name}.png: {image.width} x {image.height} pixels")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), {})
        try:
            with (
                open_browser(Path(folder) / "profile") as browser,
                watched_page(browser, server.address, WINDOW_WIDTH) as page,
            ):
                page.get_by_label("Description").first.fill(QUERY)
                page.locator("#search-go").click()
                page.locator("#search-results .pick").nth(PICKED_RESULT).click()
                page.locator("#search-why figure").nth(1).wait_for()
                save(page, "space_search")
                page.get_by_role("tab", name="Describe").click()
                page.locator("#describe-samples .pick").nth(PICKED_SAMPLE).click()
                page.locator("#describe-output .captions li").nth(2).wait_for()
                save(page, "space_describe")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
