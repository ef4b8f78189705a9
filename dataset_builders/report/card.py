"""What a LUPerson-T build says about itself: ``statistics.json`` and the dataset card."""

import json
import textwrap
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet

from ..agreement import agreement_table
from ..checks.near_duplicates import DISTANCE
from ..conquer.calibration import NO_CALIBRATION
from ..output.parquet_dataset import SHARD_ROWS, write_card

STATISTICS_COLUMNS = ["captions", "caption_scores", "attributes", "duplicate_of"]

RECIPES = {
    "paper": "`paper`: a required attribute takes its most similar phrase; an optional one is named when its best "
    "positive phrase has a softmax probability above 0.9",
    "best": "`best`: several prompts and views of each picture; what is more probable than its threshold is named, "
    "attributes of parts part by part, and of two that exclude each other the more probable; the stored probabilities "
    "are the calibrated ones",
}
CERTAINTY = {
    "paper": "Required attributes are always named, also where the picture does not show them.",
    "best": "What the scorer is not sure of is left out, which favours {plural} that look as it expects.",
}

WORDS_ARE_FEW = (
    "The attributes record how a {noun} looks to the scorer, in the few words of the vocabulary; they carry the "
    "prejudices of both."
)

INTRODUCTION = """\
Images of {plural} with pseudo-texts that nobody wrote by hand: a frozen CLIP chooses phrases for each attribute, and
templates make sentences of them (Shao et al., "Unified Pre-training with Pseudo Texts for Text-To-Image Person
Re-identification", ICCV 2023)."""

USAGE = """\
```python
from datasets import load_dataset

dataset = load_dataset("PATH_OR_NAME", split="train")  # or streaming=True
print(dataset[0]["captions"])
```

## Columns

| column | content |
|---|---|
| `image` | the picture |
| `image_id` | path of the source file in the image folder without its suffix; of other sources the key or row |
| `captions` | pseudo-texts |
| `caption_scores` | cosine of the image's and each caption's embedding in the scorer |
| `caption_backends` | who wrote each caption: `templates`, or the name of another captioner |
| `attributes` | attribute -> chosen phrase, or null |
| `attribute_probabilities` | attribute -> softmax over its phrases, in the order below; of parts the marginals |
| `duplicate_of` | image_id of the first image that this one nearly repeats, or null |"""

USE = """\
## Licence

The licence above is that of the images, named by whoever built this dataset; `other` means that nobody named one. The
captions and attributes add no claim to it.

## Intended use

Pre-training and studying models that find a described {noun} among images that their owner may lawfully search. The
captions are guesses of a model in the words of a small vocabulary. They are no ground truth about anybody, and must not
be used to decide about people, to identify somebody, or to infer what the words do not say.

## Bias

{bias}

## Privacy

Images are stored as they were given; EXIF data, which may tell the place, is removed. Build only from images that you
may use, keep to their licence, and remove images on request: `image_id` names the source.
"""


class Statistics:
    """Counts over the rows of a build; its size does not grow with theirs."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary
        self.images = self.captions = self.rejected = self.duplicates = self.bytes = 0
        self.score_sum = 0.0
        self.phrases = {name: Counter() for name in vocabulary.attributes}
        self.caption_words = Counter()
        self._values = {
            name: {phrase: choice.value for phrase, choice in attribute.by_phrase.items()}
            for name, attribute in vocabulary.attributes.items()
        }

    def add(self, row):
        """Count a row, of which the columns captions, caption_scores, attributes and duplicate_of are looked at."""
        self.images += 1
        self.duplicates += row["duplicate_of"] is not None
        self.captions += len(row["captions"])
        self.score_sum += sum(row["caption_scores"])
        for caption in row["captions"]:
            self.caption_words[len(caption.split())] += 1
        for name, phrase in row["attributes"].items():
            if phrase is not None:
                self.phrases[name][phrase] += 1

    def values(self):
        """field -> {value: images}, most frequent first."""
        counts = {}
        for name, phrases in self.phrases.items():
            for field in self.vocabulary.attributes[name].fields:
                counts[field] = Counter()
                for phrase, images in phrases.items():
                    value = self._values[name][phrase][field]
                    if value is not None:  # left open by a partial phrase
                        counts[field][value] += images
        return {
            field: dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))
            for field, values in counts.items()
        }

    def optional(self):
        """optional attribute -> number of images that have it."""
        return {
            name: self.phrases[name].total()
            for name, attribute in self.vocabulary.attributes.items()
            if not attribute.required
        }

    def as_dict(self):
        words = sum(length * captions for length, captions in self.caption_words.items())
        return {
            "images": self.images,
            "captions": self.captions,
            "rejected": self.rejected,
            "near_duplicates": self.duplicates,
            "mean_caption_score": round(self.score_sum / self.captions, 6),
            "mean_caption_words": round(words / self.captions, 3),
            "captions_of_words": {str(length): self.caption_words[length] for length in sorted(self.caption_words)},
            "optional_attributes": self.optional(),
            "values": self.values(),
        }

    def write(self, path):
        Path(path).write_text(json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def statistics_of(shards, vocabulary):
    """The :class:`Statistics` of finished Parquet files; their images are not read."""
    statistics = Statistics(vocabulary)
    for shard in shards:
        with parquet.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group, STATISTICS_COLUMNS).to_pylist():
                    statistics.add(row)
    return statistics


def write_luperson_t_card(folder, arguments, columns, vocabulary, captioner, statistics, revision, table, pictures):
    """Write the dataset card.

    Args:
        revision: commit of the scorer on the Hub, or None for a folder.
        table: result of :func:`dataset_builders.agreement.agreement`, or None.
        pictures: list of :class:`dataset_builders.report.figures.Picture`.
    """
    facts = statistics.as_dict()
    without = sorted(set(arguments.without))
    limits = {name: limit for name, limit in vars(arguments.quality).items() if limit is not None}
    if arguments.min_subject_score is not None:
        limits["min_subject_score"] = arguments.min_subject_score
    excluded = [Path(spec).name for spec in arguments.exclude]
    calibration = Path(arguments.calibration).name if arguments.calibration else None
    told_calibration = f"`{calibration}`" if calibration else "none: even priors, no labels"
    command = [
        "python -m dataset_builders.luperson_t --images IMAGES --output OUTPUT",
        f"--scorer {arguments.scorer} --seed {arguments.seed} --captions-per-image {arguments.captions_per_image}",
        f"--recipe {arguments.recipe}",
        *([f"--calibration {calibration or NO_CALIBRATION}"] if arguments.recipe == "best" else []),
        *([f"--attributes {Path(arguments.attributes).name}"] if arguments.attributes else []),
        *(f"--without {name}" for name in without),
        *([f"--captioner {arguments.captioner}"] if arguments.captioner else []),
        *([f"--shard-size {arguments.shard_size}"] if arguments.shard_size != SHARD_ROWS else []),
        *([f"--dtype {arguments.dtype}"] if arguments.dtype != "float32" else []),
        *(f"--{name.replace('_', '-')} {limit:g}" for name, limit in limits.items()),
        *(f"--exclude {name}" for name in excluded),
        *([f"--duplicate-distance {arguments.duplicate_distance}"] if arguments.duplicate_distance != DISTANCE else []),
        *(["--drop-duplicates"] if arguments.drop_duplicates else []),
    ]
    built = {
        "command": f"`{' '.join(command)}`",
        "recipe": RECIPES[arguments.recipe],
        **({"calibration": told_calibration} if arguments.recipe == "best" else {}),
        "scorer": f"`{arguments.scorer}`"
        + (f" at revision `{revision}`" if revision else "")
        + f", computed in {arguments.dtype}; images squashed to its input size, not cropped",
        "vocabulary": f"`{vocabulary.name}`, sha256 `{vocabulary.sha256[:12]}`; attributes left out: "
        f"{', '.join(without) or 'none'}",
        "other captioner": f"`{arguments.captioner}`, one caption an image" if arguments.captioner else "none",
        "templates": f"{len(captioner.template_set.templates)}, sha256 `{captioner.template_set.sha256[:12]}`",
        "seed": arguments.seed,
        "images used": statistics.images,
        "images refused": f"{statistics.rejected} (`rejected.jsonl` says why)",
        "quality filter": ", ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in limits.items()) or "none",
        "images of benchmarks refused": ", ".join(excluded) or "no benchmark was named",
        "near-duplicates": ("left out" if arguments.drop_duplicates else str(statistics.duplicates))
        + f"; perceptual hashes of 64 bits that differ in at most {arguments.duplicate_distance}",
        "mean caption score": f"{facts['mean_caption_score']:.3f}",
        "licence of the images": f"`{arguments.license}`",
    }
    summary = f"{statistics.images} images, {statistics.captions} captions of {facts['mean_caption_words']:.1f} words."
    sections = [
        f"# {vocabulary.card.title}\n\n{_introduction(vocabulary)}\n{summary}",
        USAGE,
        f"## How it was built\n\n{_table(('', ''), built.items())}",
        _pictures(pictures),
        f"## Vocabulary, in the order of the probabilities\n\n{_vocabulary_listing(vocabulary)}",
        _use(vocabulary, arguments.recipe),
    ]
    if table:
        sections.insert(
            3,
            "## Agreement with known attributes\n\n"
            f"Counted on the stored attributes of {table['images']} images, never on the captions' wording.\n\n"
            + agreement_table(table),
        )
    about = _about(vocabulary, arguments.license)
    splits = {"train": {"num_bytes": statistics.bytes, "num_examples": statistics.images}}
    write_card(folder, columns, splits, about, "\n\n".join(sections))


def write_import_card(folder, columns, vocabulary, splits, captions, rejected, license_name):
    """Write the dataset card of the LUPerson-T that was released, as ``dataset_builders.import_luperson_t`` reads it.

    Args:
        vocabulary: the shipped one, whose columns they are.
        splits: split -> {"num_bytes", "num_examples"}.
        captions: their number.
        rejected: list of the images left out.
    """
    rows = [(split, counts["num_examples"]) for split, counts in splits.items()]
    sections = [
        f"# {vocabulary.card.title}\n\n{_introduction(vocabulary)}\n"
        f"This is the authors' own release, {captions} captions, read by "
        "`python -m dataset_builders.import_luperson_t`. It holds captions alone: `attributes`, "
        "`attribute_probabilities` and `caption_scores` are null, near-duplicates were not searched for, and "
        "`caption_backends` says `luperson-t`.",
        f"{_table(('split', 'images'), rows)}\n\nImages left out: {len(rejected)} (`rejected.jsonl` says why).",
        USAGE,
        _use(vocabulary, "paper"),
    ]
    write_card(folder, columns, splits, _about(vocabulary, license_name), "\n\n".join(sections))


def _introduction(vocabulary):
    return INTRODUCTION.format(plural=_nouns(vocabulary)["plural"])


def _use(vocabulary, recipe):
    nouns = _nouns(vocabulary)
    bias = [
        vocabulary.card.bias or WORDS_ARE_FEW.format(**nouns),
        CERTAINTY[recipe].format(**nouns),
        "`--without ATTRIBUTE` builds the dataset without scoring or writing it.",
    ]
    return USE.format(bias=textwrap.fill(" ".join(bias), 120, break_on_hyphens=False), **nouns)


def _nouns(vocabulary):
    """The noun and plural of what the pictures show, also where the vocabulary does not say."""
    subject = vocabulary.subject
    return {"noun": subject.noun, "plural": subject.plural} if subject else {"noun": "thing", "plural": "things"}


def _about(vocabulary, license_name):
    return {
        "pretty_name": vocabulary.card.title,
        "license": license_name,
        "language": ["en"],
        "task_categories": ["image-to-text", "text-to-image"],
        "tags": [*vocabulary.card.tags, "pseudo-text", "synthetic-captions"],
    }


def _table(header, rows):
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _pictures(pictures):
    shown = [f"### {picture.title}\n\n![{picture.alt}]({picture.path})\n\n{picture.text}" for picture in pictures]
    return "\n\n".join(["## What it holds", *shown, "Attributes and caption lengths are counted in `statistics.json`."])


def _vocabulary_listing(vocabulary):
    lines = []
    for name, attribute in vocabulary.attributes.items():
        kind = "required" if attribute.required else "optional"
        if attribute.parts:
            lines.append(f'- **{name}** ({kind}), as in "{attribute.choices[0].phrase}"')
            lines += [f"  - {part}: {', '.join(values)}" for part, values in attribute.parts.items()]
        else:
            phrases = [f"*{choice.phrase}*" if choice.negative else choice.phrase for choice in attribute.choices]
            lines.append(f"- **{name}** ({kind}): {', '.join(phrases)}")
    return "\n".join(lines) + "\n\nPhrases in italics say that the thing is absent; they are scored and never written."
