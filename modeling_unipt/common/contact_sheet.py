"""A picture of queries, each with the images found for it; hits are framed green, misses red."""

import textwrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE_WIDTH, TILE_HEIGHT = 112, 280
FRAME, GAP, MARGIN = 5, 14, 28
PAPER, INK, FAINT = "#ffffff", "#1f2933", "#7b8794"
FRAME_COLOURS = {True: "#2f9e44", False: "#e03131", None: "#cbd2d9"}
QUERY_SIZE, LABEL_SIZE = 17, 14


def contact_sheet(queries):
    """Draw the sheet.

    Args:
        queries: list of (query text, results); results are (``PIL.Image``, label, hit) from best to worst, hit being
            True, False or, where the truth is not known, None.

    Returns:
        ``PIL.Image`` in RGB.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not queries:
        raise ValueError("a contact sheet needs at least one query")
    columns = max(4, *(len(results) for _, results in queries))
    width = 2 * MARGIN + columns * (TILE_WIDTH + 2 * FRAME) + (columns - 1) * GAP
    query_font, label_font = ImageFont.load_default(QUERY_SIZE), ImageFont.load_default(LABEL_SIZE)
    titles = [_wrap(f"“{' '.join(text.split())}”", query_font, width - 2 * MARGIN) for text, _ in queries]
    truth_known = any(hit is not None for _, results in queries for _, _, hit in results)
    line_height = QUERY_SIZE + 6
    tile_row_height = TILE_HEIGHT + 2 * FRAME + LABEL_SIZE + 10
    height = MARGIN + sum(len(lines) * line_height + 8 + tile_row_height + MARGIN for lines in titles)
    height += LABEL_SIZE + MARGIN if truth_known else 0

    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for lines, (_, results) in zip(titles, queries, strict=True):
        for line in lines:
            draw.text((MARGIN, y), line, fill=INK, font=query_font)
            y += line_height
        y += 8
        for column, (image, label, hit) in enumerate(results):
            x = MARGIN + column * (TILE_WIDTH + 2 * FRAME + GAP)
            sheet.paste(_tile(image, FRAME_COLOURS[hit]), (x, y))
            label_y = y + TILE_HEIGHT + 2 * FRAME + 4
            draw.text((x + FRAME + TILE_WIDTH // 2, label_y), label, fill=INK, font=label_font, anchor="ma")
        y += tile_row_height + MARGIN
    if truth_known:
        draw.text((MARGIN, y), "green: the person described; red: somebody else", fill=FAINT, font=label_font)
    return sheet


def _tile(image, colour):
    """``image`` as large as fits, whole, on the frame's ground."""
    fitted = ImageOps.contain(image.convert("RGB"), (TILE_WIDTH, TILE_HEIGHT), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (TILE_WIDTH, TILE_HEIGHT), "#f0f2f4")
    ground.paste(fitted, ((TILE_WIDTH - fitted.width) // 2, (TILE_HEIGHT - fitted.height) // 2))
    return ImageOps.expand(ground, FRAME, colour)


def _wrap(text, font, width, most_lines=4):
    """Lines of ``text`` not wider than ``width`` pixels."""
    characters = max(10, int(len(text) * width / max(font.getlength(text), 1)))
    while True:
        lines = textwrap.wrap(text, characters, max_lines=most_lines, placeholder=" …")
        if characters <= 10 or all(font.getlength(line) <= width for line in lines):
            return lines
        characters -= 2
