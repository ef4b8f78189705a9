"""A contact sheet: some images of a dataset, drawn by seed, each beside its captions."""

import io
import textwrap

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image, ImageDraw, ImageFont, ImageOps

SHOWN, COLUMNS = 12, 3
TILE_WIDTH, TILE_HEIGHT, TEXT_WIDTH = 110, 220, 240
MARGIN, GAP = 24, 14
FONT_SIZE, LINE_HEIGHT = 14, 19
PAPER, INK, GROUND = "#ffffff", "#1f2933", "#f0f2f4"


def drawn_rows(shards, seed):
    """Up to 12 rows, with image and captions, of finished Parquet files, in their order.

    Each row is as likely as any other; the draw depends on ``seed`` and the number of rows alone. One row group is
    held at a time.
    """
    total = sum(parquet.read_metadata(shard).num_rows for shard in shards)
    positions = np.sort(np.random.default_rng(seed).choice(total, min(SHOWN, total), replace=False))
    rows, begin = [], 0
    for shard in shards:
        with parquet.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                inside = positions[(positions >= begin) & (positions < end)] - begin
                if len(inside):
                    rows += file.read_row_group(group, ["image", "captions"]).take(inside).to_pylist()
                begin = end
    return rows


def captioned_sheet(rows):
    """Draw the sheet.

    Args:
        rows: dicts with ``image``, which holds an encoded picture under "bytes", and ``captions``.
    Returns:
        ``PIL.Image`` in RGB.
    """
    cell_width, cell_height = TILE_WIDTH + GAP + TEXT_WIDTH, TILE_HEIGHT + GAP
    columns = min(COLUMNS, len(rows))
    lines_of_cells = -(-len(rows) // columns)
    width = 2 * MARGIN + columns * cell_width + (columns - 1) * 2 * GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + lines_of_cells * cell_height - GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for number, row in enumerate(rows):
        x = MARGIN + number % columns * (cell_width + 2 * GAP)
        y = MARGIN + number // columns * cell_height
        sheet.paste(_tile(row["image"]["bytes"]), (x, y))
        for line_number, line in enumerate(_lines(row["captions"], font)):
            draw.text((x + TILE_WIDTH + GAP, y + line_number * LINE_HEIGHT), line, fill=INK, font=font)
    return sheet


def _tile(data):
    """The picture as large as fits, whole, on a ground of its own."""
    with Image.open(io.BytesIO(data)) as image:
        fitted = ImageOps.contain(image.convert("RGB"), (TILE_WIDTH, TILE_HEIGHT), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (TILE_WIDTH, TILE_HEIGHT), GROUND)
    ground.paste(fitted, ((TILE_WIDTH - fitted.width) // 2, (TILE_HEIGHT - fitted.height) // 2))
    return ground


def _lines(captions, font):
    """The first caption's lines, and of the others' as many whole captions as fit beside the tile."""
    room = TILE_HEIGHT // LINE_HEIGHT
    lines = _wrapped(captions[0], font, room)
    for caption in captions[1:]:
        more = ["", *_wrapped(caption, font, room)]
        if len(lines) + len(more) > room:
            break
        lines += more
    return lines


def _wrapped(text, font, most):
    characters = 60
    while True:
        lines = textwrap.wrap(text, characters, max_lines=most, placeholder=" …")
        if characters <= 10 or all(font.getlength(line) <= TEXT_WIDTH for line in lines):
            return lines
        characters -= 1
