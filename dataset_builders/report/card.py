"""The dataset card of a LUPerson-T that was built, and the parts of it that other cards share."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_unipt.common.words import markdown_table

from ..combine.templates import TemplateSet
from ..divide.vocabulary import RecipeName, Vocabulary
from ..measure.agreement import Agreement, agreement_table
from ..output.parquet_dataset import Columns, SplitSize, write_card
from .figures import Figure
from .statistics import Statistics

RECIPES: dict[RecipeName, str] = {
    "paper": "`paper`: each required attribute takes its most similar phrase. An optional attribute is named if its "
    "best positive phrase has a softmax probability above 0.9",
    "best": "`best`: several prompts and views of each image are scored, and the probabilities are calibrated. A value "
    "is named if its probability is above its threshold. An attribute of several parts is decided part by part. Of two "
    "statements that exclude each other the more probable one stays. The stored probabilities are the calibrated ones",
}
CERTAINTY: dict[RecipeName, str] = {
    "paper": "Required attributes are always named, also where the image does not show them.",
    "best": "A statement of which the scorer is not sure is left out. So the dataset says more about {plural} that "
    "look as the scorer expects.",
}

NARROW_WORDS = (
    "The attributes record how a {noun} looks to the scorer, in the few words of the vocabulary; they carry the "
    "prejudices of both."
)

INTRODUCTION = """\
Images of {plural} with pseudo-texts: captions that no human wrote. A frozen CLIP chooses phrases for each attribute,
and templates turn the phrases into sentences. The method is that of Shao et al., "Unified Pre-training with Pseudo
Texts for Text-To-Image Person Re-identification", ICCV 2023."""

USAGE = """\
```python
from datasets import load_dataset

dataset = load_dataset("PATH_OR_NAME", split="train")  # or streaming=True
print(dataset[0]["captions"])
```

## Columns

"""
COLUMN_TEXTS = {
    "image": "the image",
    "image_id": "path of the source file in the image folder, without its suffix; for other sources the key or the row",
    "captions": "pseudo-texts",
    "caption_scores": "cosine similarity of the image and each caption in the scorer",
    "caption_backends": "who wrote each caption: `templates`, or the name of another captioner",
    "attributes": "for each attribute the chosen phrase, or null",
    "attribute_probabilities": "for each attribute the softmax probabilities of its phrases, in the order of the list "
    "below; for an attribute of several parts those of each part's values",
    "duplicate_of": "image_id of the first image that this one nearly repeats, or null",
}

USE = """\
## Licence

The licence above is that of the images. Whoever built this dataset named it; `other` means that nobody named one. The
captions and attributes add no claim to it.

## Intended use

The dataset serves to pre-train and study models that find a described {noun} among images that their owner may
lawfully search. The captions are guesses of a model in the words of a small vocabulary. They are no ground truth about
anybody. They must not be used to decide about people, to identify somebody, or to infer what the words do not say.

## Bias

{bias}

## Privacy

Images are stored as they were given, without EXIF data, which may tell the place. Build only from images that you may
use, keep to their licence, and remove images on request: `image_id` names the source.
"""


@dataclass(frozen=True)
class HowBuilt:
    """What the card tells about how a dataset was built.

    Attributes:
        command: the command that builds the same dataset.
        recipe: its name.
        calibration: name of the calibration file, or None.
        scorer: name of the model that scored the phrases.
        revision: the scorer's commit on the Hub, or None for a folder.
        dtype: precision of the scorer.
        without: attributes that were left out.
        captioner: name of the model that wrote one more caption for each image, or None.
        seed: seed of the choice among templates.
        limits: name of each limit that refused images -> its number.
        excluded: names of the benchmarks whose images were refused.
        duplicate_distance: bits in which the hashes of near-duplicates differ at most.
        drop_duplicates: whether near-duplicates were left out.
        license: of the images, by its name on the Hub.
    """

    command: str
    recipe: RecipeName
    calibration: str | None
    scorer: str
    revision: str | None
    dtype: str
    without: Sequence[str]
    captioner: str | None
    seed: int
    limits: Mapping[str, float]
    excluded: Sequence[str]
    duplicate_distance: int
    drop_duplicates: bool
    license: str


def write_luperson_t_card(
    folder: Path,
    columns: Columns,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    statistics: Statistics,
    built: HowBuilt,
    agreement: Agreement | None,
    figures: Sequence[Figure],
) -> None:
    """Write the dataset card of a build.

    Args:
        columns: the dataset's.
        vocabulary: of the attributes that were scored.
        templates: those that wrote the captions.
        agreement: result of :func:`dataset_builders.measure.agreement.agreement`, or None if the truth is not known.
        figures: in the order in which the card shows them.
    """
    words = statistics.mean_caption_words()
    summary = f"{statistics.images} images, {statistics.captions} captions of {words:.1f} words on average."
    facts = _built_facts(vocabulary, templates, statistics, built)
    sections = [
        f"# {vocabulary.card.title}\n\n{introduction(vocabulary)}\n\n{summary}",
        usage(),
        f"## How it was built\n\n{markdown_table(('what', 'how'), facts.items())}",
    ]
    if agreement:
        sections.append(
            "## Agreement with known attributes\n\n"
            f"The numbers count the stored attributes of {agreement['images']} images, "
            "not the words of the captions.\n\n" + agreement_table(agreement)
        )
    sections += [
        _figures(figures),
        f"## Vocabulary, in the order of the probabilities\n\n{_vocabulary_listing(vocabulary)}",
        use(vocabulary, built.recipe),
    ]
    splits = {"train": SplitSize(num_bytes=statistics.bytes, num_examples=statistics.images)}
    write_card(folder, columns, splits, about(vocabulary, built.license), "\n\n".join(sections))


def _built_facts(
    vocabulary: Vocabulary, templates: TemplateSet, statistics: Statistics, built: HowBuilt
) -> dict[str, str]:
    """The rows of the table "How it was built"."""
    facts = {"command": f"`{built.command}`", "recipe": RECIPES[built.recipe]}
    if built.recipe == "best":
        without_one = "none: even priors, no labels"
        facts["calibration"] = f"`{built.calibration}`" if built.calibration else without_one
    scorer = f"`{built.scorer}`"
    if built.revision:
        scorer += f" at revision `{built.revision}`"
    limits = [f"{name.replace('_', ' ')} {limit:g}" for name, limit in built.limits.items()]
    duplicates = "left out" if built.drop_duplicates else str(statistics.duplicates)
    facts |= {
        "scorer": f"{scorer}, computed in {built.dtype}; images squashed to its input size, not cropped",
        "vocabulary": f"`{vocabulary.name}`, sha256 `{vocabulary.sha256[:12]}`; attributes left out: "
        f"{', '.join(built.without) or 'none'}",
        "other captioner": f"`{built.captioner}`, one caption for each image" if built.captioner else "none",
        "templates": f"{len(templates.templates)}, sha256 `{templates.sha256[:12]}`",
        "seed": str(built.seed),
        "images used": str(statistics.images),
        "images refused": f"{statistics.rejected} (`rejected.jsonl` says why)",
        "quality filter": ", ".join(limits) or "none",
        "images of benchmarks refused": ", ".join(built.excluded) + " (by look, file name, and people that names tell)"
        if built.excluded
        else "no benchmark was named",
        "near-duplicates": f"{duplicates}; perceptual hashes of 64 bits that differ in at most "
        f"{built.duplicate_distance}",
        "mean caption score": f"{statistics.mean_caption_score():.3f}",
        "licence of the images": f"`{built.license}`",
    }
    return facts


def introduction(vocabulary: Vocabulary) -> str:
    """What the pseudo-texts are and whose method made them."""
    return INTRODUCTION.format(**_nouns(vocabulary))


def usage(further: Mapping[str, str] | None = None) -> str:
    """How to load the dataset, and what its columns hold.

    Args:
        further: name of each column that LUPerson-T lacks -> what it holds.
    """
    texts = {**COLUMN_TEXTS, **(further or {})}
    rows = [(f"`{column}`", text) for column, text in texts.items()]
    return USAGE + markdown_table(("column", "content"), rows)


def use(vocabulary: Vocabulary, recipe: RecipeName) -> str:
    """The parts on licence, use, bias and privacy."""
    nouns = _nouns(vocabulary)
    bias = [
        vocabulary.card.bias or NARROW_WORDS.format(**nouns),
        CERTAINTY[recipe].format(**nouns),
        "`--without ATTRIBUTE` builds the dataset without scoring or writing that attribute.",
    ]
    return USE.format(bias=textwrap.fill(" ".join(bias), 120, break_on_hyphens=False), **nouns)


def _nouns(vocabulary: Vocabulary) -> dict[str, str]:
    """The noun and its plural for what the images show, also if the vocabulary does not say."""
    subject = vocabulary.subject
    return {"noun": subject.noun, "plural": subject.plural} if subject else {"noun": "thing", "plural": "things"}


def about(vocabulary: Vocabulary, license_name: str) -> dict[str, Any]:
    """The keys of the card's YAML header that say what the dataset is about."""
    return {
        "pretty_name": vocabulary.card.title,
        "license": license_name,
        "language": ["en"],
        "task_categories": ["image-to-text", "text-to-image"],
        "tags": [*vocabulary.card.tags, "pseudo-text", "synthetic-captions"],
    }


def _figures(figures: Sequence[Figure]) -> str:
    sections = ["## What it holds"]
    for figure in figures:
        sections.append(f"### {figure.title}\n\n![{figure.alt}]({figure.path})\n\n{figure.text}")
    sections.append("The numbers behind the attributes and the caption lengths stand in `statistics.json`.")
    return "\n\n".join(sections)


def _vocabulary_listing(vocabulary: Vocabulary) -> str:
    lines = []
    for name, attribute in vocabulary.attributes.items():
        kind = "required" if attribute.required else "optional"
        if attribute.parts:
            lines.append(f'- **{name}** ({kind}), as in "{attribute.choices[0].phrase}"')
            for part, values in attribute.parts.items():
                lines.append(f"  - {part}: {', '.join(values)}")
        else:
            phrases = [f"*{choice.phrase}*" if choice.negative else choice.phrase for choice in attribute.choices]
            lines.append(f"- **{name}** ({kind}): {', '.join(phrases)}")
    listing = "\n".join(lines)
    return f"{listing}\n\nPhrases in italics say that the thing is absent. They are scored, and no caption holds them."
