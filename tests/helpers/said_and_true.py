"""Made-up people of whom everything that is said is true, for tests that count what is said."""

from dataset_builders.divide.vocabulary import Choice, Chosen, Truth, Vocabulary


def choice(vocabulary: Vocabulary, name: str, **values: str | None) -> Choice:
    """The choice of the attribute ``name`` that gives its fields these values."""
    return next(choice for choice in vocabulary.attributes[name].choices if choice.value == values)


def person(vocabulary: Vocabulary, **changes: Choice | None) -> tuple[Chosen, Truth]:
    """What is said of one person, the first choice of each required attribute but for ``changes``, and the same as
    truth."""
    said = {}
    for name, attribute in vocabulary.attributes.items():
        said[name] = attribute.choices[0] if attribute.required else None
    said |= changes
    truth = {}
    for name, attribute in vocabulary.attributes.items():
        truth |= said[name].value if said[name] else dict.fromkeys(attribute.fields)
    return said, truth
