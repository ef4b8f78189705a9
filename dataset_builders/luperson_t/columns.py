"""The columns of LUPerson-T."""

from ..divide.vocabulary import Attribute, Vocabulary
from ..output.parquet_dataset import Columns, ColumnType

PROBABILITIES: list[ColumnType] = ["float32"]


def columns_of(vocabulary: Vocabulary) -> Columns:
    """The columns of a dataset whose attributes are those of ``vocabulary``, name -> type.

    :mod:`dataset_builders.output.parquet_dataset` says how a type is written.
    """
    return {
        "image": "image",
        "image_id": "string",
        "captions": ["string"],
        "caption_scores": ["float32"],
        "caption_backends": ["string"],
        "attributes": dict.fromkeys(vocabulary.attributes, "string"),
        "attribute_probabilities": {
            name: _probabilities(attribute) for name, attribute in vocabulary.attributes.items()
        },
        "duplicate_of": "string",
    }


def _probabilities(attribute: Attribute) -> ColumnType:
    """An attribute of parts stores the probabilities of each part's values, any other those of its choices."""
    return dict.fromkeys(attribute.parts, PROBABILITIES) if attribute.parts else PROBABILITIES
