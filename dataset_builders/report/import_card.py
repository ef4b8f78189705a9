"""The dataset card of a set of captioned images that was imported into LUPerson-T's columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.common.words import markdown_table

from ..divide.vocabulary import Vocabulary
from ..output.parquet_dataset import Columns, SplitSize, write_card
from .card import about, introduction, usage, use

# What LUPerson-T's columns hold of a set that was not built by this project.
COLUMNS_OF_OTHERS = {
    "captions": "the set's captions in their normal form",
    "caption_backends": "who wrote each caption",
    **dict.fromkeys(
        ("caption_scores", "attributes", "attribute_probabilities", "duplicate_of"), "null, because the set lacks it"
    ),
}
USE_OF_OTHERS = """\
## Licence, use, privacy

The set's own terms bind whoever uses this copy; the licence above is what its importer named, and `other` means that
nobody named one. The captions are no ground truth about anybody unless people wrote them. The dataset serves to
pre-train and study models that find a described person among images that their owner may lawfully search. It must not
be used to decide about people or to identify somebody. Images are stored without EXIF data, which may tell the
place."""


@dataclass(frozen=True)
class ImportFacts:
    """What the card tells of an import.

    Attributes:
        title: the set's name.
        about: what the set is; None for the LUPerson-T that was released.
        layout: the name of the layout that read it.
        columns: name of each column that LUPerson-T lacks -> what it holds.
        splits: split -> its size.
        captions: number of all captions.
        backends: who wrote captions -> how many.
        rejected: number of the images left out.
        told: sentences about what was mended, merged or left out.
        odd: the part about what is odd in the captions, or "".
        license: by its name on the Hub.
    """

    title: str
    about: str | None
    layout: str
    columns: Mapping[str, str]
    splits: Mapping[str, SplitSize]
    captions: int
    backends: Mapping[str, int]
    rejected: int
    told: Sequence[str]
    odd: str
    license: str


def write_import_card(folder: Path, columns: Columns, vocabulary: Vocabulary, facts: ImportFacts) -> None:
    """Write the dataset card.

    Args:
        columns: the dataset's.
        vocabulary: the shipped one; LUPerson-T's columns are its.
    """
    rows = [(split, size["num_examples"]) for split, size in facts.splits.items()]
    sizes = (
        f"{markdown_table(('split', 'images'), rows)}\n\nImages left out: {facts.rejected} (`rejected.jsonl` says why)."
    )
    sections = [_head(vocabulary, facts), sizes]
    if facts.told:
        sections.append("## What was mended or left out\n\n" + "\n".join(f"- {line}" for line in facts.told))
    if facts.odd:
        sections.append(facts.odd.rstrip("\n"))
    texts = dict(facts.columns) if facts.about is None else COLUMNS_OF_OTHERS | dict(facts.columns)
    sections.append(usage(texts))
    header = about(vocabulary, facts.license)
    if facts.about is None:
        sections.append(use(vocabulary, "paper"))
    else:
        sections.append(USE_OF_OTHERS + "\n")
        header |= {"pretty_name": facts.title, "tags": ["person-retrieval", "text-to-image-person-re-identification"]}
    write_card(folder, columns, facts.splits, header, "\n\n".join(sections))


def _head(vocabulary: Vocabulary, facts: ImportFacts) -> str:
    if facts.about is None:
        return (
            f"# {vocabulary.card.title}\n\n{introduction(vocabulary)}\n\n"
            f"This is the authors' own release with {facts.captions} captions, read by "
            "`python -m dataset_builders.import_luperson_t`. It holds captions alone: `attributes`, "
            "`attribute_probabilities` and `caption_scores` are null, near-duplicates were not searched for, and "
            "`caption_backends` says `luperson-t`."
        )
    writers = ", ".join(f"`{name}` {number:,}" for name, number in facts.backends.items())
    return (
        f"# {facts.title}\n\nThis set holds {facts.about}. `python -m dataset_builders.import_luperson_t --layout "
        f"{facts.layout}` read it into the columns of LUPerson-T, with {facts.captions:,} captions ({writers}). "
        "LUPerson-T's own `attributes`, `attribute_probabilities` and `caption_scores` are null, and near-duplicates "
        "were not searched for."
    )
