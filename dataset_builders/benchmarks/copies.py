"""What was written of a benchmark."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..checks.caption_oddities import Oddities
from ..output.parquet_dataset import SplitSize
from .checks import Verdict
from .layouts import Counts
from .reading import Benchmark


@dataclass(frozen=True)
class Copy:
    """A copy of a benchmark, as it was written.

    Attributes:
        benchmark: as read.
        sizes: split -> its size. A split that was left out for lack of images has none.
        counts: split -> what it holds.
        verdicts: split -> whether scores on it are comparable with published ones.
        rejected: (path, reason) of each annotated image that was left out.
        differing: in what the annotation differs from the published numbers, as phrases.
        remarks: what was mended, or is to be known, as sentences.
        oddities: what is odd in the captions.
    """

    benchmark: Benchmark
    sizes: dict[str, SplitSize]
    counts: dict[str, Counts]
    verdicts: dict[str, Verdict]
    rejected: list[tuple[str, str]]
    differing: list[str]
    remarks: list[str]
    oddities: Oddities

    def lines(self) -> Iterator[str]:
        """What the user is told, a sentence each."""
        title = self.benchmark.layout.title
        yield from self.remarks
        yield from self.oddities.lines()
        if self.rejected:
            yield (
                "annotated images that are missing, unreadable or without a caption, listed in rejected.jsonl: "
                f"{len(self.rejected):,}"
            )
        for split, verdict in self.verdicts.items():
            if split not in self.sizes:
                yield f"{split}: left out, since not one of its annotated images is there and has a caption"
            elif verdict.is_official:
                yield f"{split}: the official split of {title}, so scores on it are comparable with published ones"
            elif verdict.is_official is None:
                yield f"{split}: the numbers of this split of {title} were not published, so nothing can be checked"
            else:
                yield f"{split}: not the official split of {title}, so scores on it are not comparable: {verdict}"
        absent = [phrase for phrase in self.differing if phrase.split()[0] not in self.verdicts]
        if absent:
            yield f"not the official {title} as a whole: {'; '.join(absent)}"
