"""Which of a set's captions describe an image. Texts that a language model wrote are now and then none."""

import re
from dataclasses import dataclass

# Language models copy "[clothing description]" from the template that they were to fill. LUPerson-MLLM's authors drop
# texts with one of these marks.
NOISE_MARKS = ("description]", "<")
# WebPerson's model writes the two letters of a line break, or of what it takes for one.
WRITTEN_LINE_BREAKS = re.compile(r"(?:\s*[/\\]n)+$")


@dataclass
class CaptionCounts:
    """What was mended or left out.

    Attributes:
        kept: captions that go into the dataset.
        blank: captions without a letter, left out.
        noise: captions with one of :data:`NOISE_MARKS`, left out.
        ends: captions whose end, a written line break, was cut off.
        noise_example: the first caption of ``noise``.
    """

    kept: int = 0
    blank: int = 0
    noise: int = 0
    ends: int = 0
    noise_example: str | None = None

    def usable(self, text: str) -> str | None:
        """A caption as the dataset shall hold it, or None if it is none; counted.

        Args:
            text: in its normal form.
        """
        told = WRITTEN_LINE_BREAKS.sub("", text)
        if not told:
            self.blank += 1
            return None
        if any(mark in told for mark in NOISE_MARKS):
            self.noise += 1
            self.noise_example = self.noise_example or told
            return None
        self.ends += told != text
        return told
