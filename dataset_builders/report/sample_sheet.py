"""A sheet of some images of a dataset, drawn by seed, each beside its captions."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image, ImageDraw, ImageFont, ImageOps

SHOWN, COLUMNS = 12, 3
# In pixels.
TILE_WIDTH, TILE_HEIGHT, TEXT_WIDTH = 110, 220, 240
MARGIN, GAP = 24, 14
FONT_SIZE, LINE_HEIGHT = 14, 19
PAPER, INK, GROUND = "#ffffff", "#1f2933", "#f0f2f4"

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def drawn_rows(shards: Sequence[Path | str], seed: int) -> list[dict[str, Any]]:
    """Up to 12 rows, with image and captions, of finished Parquet files, in their order.

    Each row is as likely as any other. The choice depends only on ``seed`` and the number of rows. Memory holds one row
    group at a time.
    """
    total = sum(parquet.read_metadata(shard).num_rows for shard in shards)
    positions = np.sort(np.random.default_rng(seed).choice(total, min(SHOWN, total), replace=False))
    rows = []
    begin = 0
    for shard in shards:
        with parquet.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                inside = positions[(positions >= begin) & (positions < end)] - begin
                if len(inside):
                    rows += file.read_row_group(group, ["image", "captions"]).take(inside).to_pylist()
                begin = end
    return rows


def captioned_sheet(rows: Sequence[Mapping[str, Any]]) -> Image.Image:
    """Draw the sheet, in RGB.

    Args:
        rows: mappings with ``captions``, a list of texts, and ``image``, which holds an encoded image under "bytes".
    """
    cell_width = TILE_WIDTH + GAP + TEXT_WIDTH
    cell_height = TILE_HEIGHT + GAP
    columns = min(COLUMNS, len(rows))
    lines_of_cells = -(-len(rows) // columns)
    width = 2 * MARGIN + columns * cell_width + (columns - 1) * 2 * GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + lines_of_cells * cell_height - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    for number, row in enumerate(rows):
        line, column = divmod(number, columns)
        x = MARGIN + column * (cell_width + 2 * GAP)
        y = MARGIN + line * cell_height
        sheet.paste(_tile(row["image"]["bytes"]), (x, y))
        for line_number, text in enumerate(_lines(row["captions"], font)):
            draw.text((x + TILE_WIDTH + GAP, y + line_number * LINE_HEIGHT), text, fill=INK, font=font)
    return sheet


def _tile(data: bytes) -> Image.Image:
    """The whole image, as large as fits into a tile, in the middle of a plain ground."""
    with Image.open(io.BytesIO(data)) as image:
        fitted = ImageOps.contain(image.convert("RGB"), (TILE_WIDTH, TILE_HEIGHT), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (TILE_WIDTH, TILE_HEIGHT), GROUND)
    ground.paste(fitted, ((TILE_WIDTH - fitted.width) // 2, (TILE_HEIGHT - fitted.height) // 2))
    return ground


def _lines(captions: Sequence[str], font: Font) -> list[str]:
    """The lines of the first caption, and of as many further captions as fit beside the tile whole."""
    room = TILE_HEIGHT // LINE_HEIGHT
    lines = _wrapped(captions[0], font, room)
    for caption in captions[1:]:
        more = ["", *_wrapped(caption, font, room)]
        if len(lines) + len(more) > room:
            break
        lines += more
    return lines


def _wrapped(text: str, font: Font, most: int) -> list[str]:
    """At most ``most`` lines of ``text``, none wider than the room for text."""
    # Letters differ in width, so the number of characters that fit is found by trying.
    characters = 60
    while True:
        lines = textwrap.wrap(text, characters, max_lines=most, placeholder=" …")
        if characters <= 10 or all(font.getlength(line) <= TEXT_WIDTH for line in lines):
            return lines
        characters -= 1
