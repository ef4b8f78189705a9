"""Small data sets of drawn people, as Parquet files or as ``save_to_disk`` leaves them."""

import datasets
import pyarrow.parquet as parquet

from tests.helpers.people import draw_person

COLOURS = ["red", "blue", "white", "green", "black"]


def people_table(people, first=0, **columns):
    """A table of two images each of ``people``, their ids, with two captions an image; ``first`` seeds the drawing."""
    shown = [(person, view) for person in people for view in range(2)]
    return datasets.Dataset.from_dict(
        {
            "image": [draw_person(first + 2 * person + view) for person, view in shown],
            "image_id": [f"{person}-{view}" for person, view in shown],
            "person_id": [person for person, _ in shown],
            "captions": [
                [f"a man in a {COLOURS[person % 5]} coat", f"a {COLOURS[view]} cap and {COLOURS[person % 3]} shoes"]
                for person, view in shown
            ],
        }
        | columns
    ).cast_column("image", datasets.Image())


def write_parquet(folder, row_group=None, **splits):
    """Split -> table as Parquet files in ``folder``, as the Hub has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, table in splits.items():
        embedded = table.with_format("arrow").map(datasets.table.embed_table_storage, batched=True)[:]
        # The note that tells the library of images lies in the schema.
        schema = table.features.arrow_schema
        parquet.write_table(embedded.cast(schema), folder / f"{split}-00000-of-00001.parquet", row_group)
    return folder
