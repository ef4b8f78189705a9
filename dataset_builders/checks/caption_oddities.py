"""What is odd in a data set of captions: counted while its rows pass by, told, and listed in its card.

oddities = Oddities()
for each image:
    oddities.add("train", 17, ["A man in red.", "He walks."], "imgs/0017.jpg")
for line in oddities.lines():
    print(line)
card += oddities.card_section()
if strict:
    oddities.refuse()
"""

from collections.abc import Sequence

HEADING = "## What is odd in this data"


class Oddities:
    """Counts what is odd in the rows of a data set. Memory holds hashes of texts, not the texts."""

    def add(self, split: str, person_id: int | str | None, captions: Sequence[str], name: str) -> None:
        """Look at one image.

        Args:
            split: the split that the image is in.
            person_id: whom the image shows, or None where the data set does not know.
            captions: its captions as they stand in the file, blank ones included; any may lack its normal form.
            name: what to call the image in an example, such as its path.
        """

    def lines(self) -> list[str]:
        """One sentence for each kind of oddity that was found, with its count and an example; for the console."""
        return []

    def card_section(self) -> str:
        """The part "What is odd in this data" of a card, as Markdown that ends with a newline; "" where nothing is."""
        return ""

    def refuse(self) -> None:
        """Refuse the data set if anything was counted, which the option ``--strict`` asks for.

        Raises:
            UserError: something was counted; the sentence says what, and how to go on.
        """
