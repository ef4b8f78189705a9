"""An image of queries and the images found for each. Hits are framed green and misses red."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .atomic_files import written_aside
from .user_errors import UserError, first_line

SHEET_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
TILE_WIDTH = 112
TILE_HEIGHT = 280
FRAME = 5
GAP = 14
MARGIN = 28
# A sheet is at least as wide as this many results, so that short titles need not be wrapped.
LEAST_COLUMNS = 4
PAPER = "#ffffff"
INK = "#1f2933"
FAINT = "#7b8794"
TILE_GROUND = "#f0f2f4"
FRAME_COLOURS = {True: "#2f9e44", False: "#e03131", None: "#cbd2d9"}
QUERY_SIZE = 17
LINE_HEIGHT = QUERY_SIZE + 6
BELOW_TITLE = 8
LABEL_SIZE = 14
TILE_ROW_HEIGHT = TILE_HEIGHT + 2 * FRAME + LABEL_SIZE + 10

# An image, its label, and whether it is a hit; None where the truth is not known.
Result = tuple[Image.Image, str, bool | None]
# A query's text, and its results from best to worst.
Query = tuple[str, Sequence[Result]]


def check_sheet_path(path: Path | str, option: str = "--contact-sheet") -> None:
    """Refuse a path that no sheet can be saved to, before the work that leads to the sheet is done.

    Args:
        option: how the user named the path, for the message.

    Raises:
        UserError: the suffix is none of ``SHEET_SUFFIXES``.
    """
    if Path(path).suffix.lower() not in SHEET_SUFFIXES:
        raise UserError(f"{option} {path} must end in one of {', '.join(SHEET_SUFFIXES)}")


def write_contact_sheet(path: Path | str, queries: Sequence[Query]) -> None:
    """Draw the sheet and save it to ``path``, whose suffix gives the format. See :func:`contact_sheet`.

    Raises:
        UserError: the sheet cannot be saved: the folder is missing or read-only, the disk is full, or the sheet is
            larger than the format allows.
        ValueError: there is nothing to draw.
    """
    sheet = contact_sheet(queries)
    try:
        with written_aside(path) as aside:
            sheet.save(aside)
    except (OSError, ValueError) as error:
        # Pillow raises ValueError for an unknown suffix, and either one for sheets of more pixels than a format has.
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"the contact sheet {path} cannot be saved: {reason}") from None


def contact_sheet(queries: Sequence[Query]) -> Image.Image:
    """Draw the sheet: for each query its text and below it a row of its results.

    Returns:
        An image in RGB.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not queries:
        raise ValueError("a contact sheet needs at least one query")
    columns = max(LEAST_COLUMNS, *(len(results) for _, results in queries))
    width = 2 * MARGIN + columns * (TILE_WIDTH + 2 * FRAME) + (columns - 1) * GAP
    query_font = ImageFont.load_default(QUERY_SIZE)
    label_font = ImageFont.load_default(LABEL_SIZE)
    # The height depends on the wrapped titles, so they are made before the sheet.
    titles = []
    for text, _ in queries:
        titles.append(_wrap(f"“{' '.join(text.split())}”", query_font, width - 2 * MARGIN))
    height = MARGIN
    for lines in titles:
        height += len(lines) * LINE_HEIGHT + BELOW_TITLE + TILE_ROW_HEIGHT + MARGIN
    truth_known = any(hit is not None for _, results in queries for _, _, hit in results)
    if truth_known:
        height += LABEL_SIZE + MARGIN

    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for lines, (_, results) in zip(titles, queries, strict=True):
        for line in lines:
            draw.text((MARGIN, y), line, fill=INK, font=query_font)
            y += LINE_HEIGHT
        y += BELOW_TITLE
        for column, (image, label, hit) in enumerate(results):
            x = MARGIN + column * (TILE_WIDTH + 2 * FRAME + GAP)
            sheet.paste(_tile(image, FRAME_COLOURS[hit]), (x, y))
            label_y = y + TILE_HEIGHT + 2 * FRAME + 4
            draw.text((x + FRAME + TILE_WIDTH // 2, label_y), label, fill=INK, font=label_font, anchor="ma")
        y += TILE_ROW_HEIGHT + MARGIN
    if truth_known:
        draw.text((MARGIN, y), "green: the person described; red: somebody else", fill=FAINT, font=label_font)
    return sheet


def _tile(image: Image.Image, colour: str) -> Image.Image:
    """The whole ``image``, as large as fits into a tile, in a frame."""
    fitted = ImageOps.contain(image.convert("RGB"), (TILE_WIDTH, TILE_HEIGHT), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (TILE_WIDTH, TILE_HEIGHT), TILE_GROUND)
    ground.paste(fitted, ((TILE_WIDTH - fitted.width) // 2, (TILE_HEIGHT - fitted.height) // 2))
    return ImageOps.expand(ground, FRAME, colour)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, most_lines: int = 4) -> list[str]:
    """Lines of ``text`` not wider than ``width`` pixels."""
    # textwrap counts characters, whose widths differ: start from the mean width, then shorten until every line fits.
    characters = max(10, int(len(text) * width / max(font.getlength(text), 1)))
    while True:
        lines = textwrap.wrap(text, characters, max_lines=most_lines, placeholder=" …")
        if characters <= 10 or all(font.getlength(line) <= width for line in lines):
            return lines
        characters -= 2
