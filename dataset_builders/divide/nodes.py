"""What the two kinds of attributes in a vocabulary file share: prompts, lists, phrases, blanks."""

import string

from .vocabulary import with_articles
from .yaml_file import LinedDict, nearest


class PromptForms:
    """The prompt and the further forms for an ensemble that hold for what lies inside one node of the file.

    Whoever has a ``prompt`` of its own takes none of the forms around it: they were written for another sentence.
    """

    def __init__(self, complain, node, around=None):
        self.complain = complain
        self.own = "prompt" in node
        self.prompt = node.get("prompt", around.prompt if around else None)
        self.others = node.get("prompts", around.others if around and not self.own else [])
        if not isinstance(self.others, list) or not all(isinstance(form, str) for form in self.others):
            raise complain(node, "'prompts' must be a list of texts, further forms of 'prompt'")

    def inside(self, node):
        return PromptForms(self.complain, node, self)

    def prompts(self, node, name, phrase):
        """The prompts of one phrase, whose node may have forms of its own. Those may lack the blank."""
        forms = self.inside(node)
        if not isinstance(forms.prompt, str) or not forms.prompt.strip():
            raise self.complain(
                node, f"phrase '{phrase}' of attribute '{name}' has no prompt, and there is no default one"
            )
        made = []
        for form, own in [(forms.prompt, "prompt" in node), *((form, "prompts" in node) for form in forms.others)]:
            if not own or "{" in form:
                check_blanks(self.complain, form, f"the prompt of attribute '{name}'", {"phrase"})
                form = form.format(phrase=phrase)
            made.append(with_articles(str(form)))
        return tuple(made)


def read_list(complain, node, key, where):
    """The list under ``key``; raise where it is none or empty."""
    values = node.get(key)
    if not isinstance(values, list) or not values:
        raise complain(node, f"{where} needs '{key}', a list that is not empty")
    return values


def read_entry(complain, entry, where, allowed):
    """A phrase or value written as a bare text, or as a mapping, as a mapping."""
    if isinstance(entry, dict):
        complain.check_keys(entry, where, allowed)
        return entry
    if not isinstance(entry, str):
        raise complain(entry, f"{where} must be a text or a mapping, not {entry!r}; put quotes around it")
    content = LinedDict({allowed[0]: entry})
    content.line = getattr(entry, "line", None)
    return content


def value_of(word):
    """The name of what a phrase or word says."""
    return str(word.get("value", word.get("phrase")))


def texts_of(complain, entry, key):
    """The list of texts under ``key`` as a tuple, empty where there is none.

    Under ``synonyms`` stands what a caption may write instead of a phrase or word; under ``more`` what it may write
    besides, where the templates draw from all synonyms.
    """
    texts = entry.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise complain(entry, f"'{key}' must be a list of texts")
    return tuple(map(str, texts))


def check_blanks(complain, text, where, blanks, all_of_them=True):
    """Raise unless ``text`` holds the blanks ``{name}`` of the set ``blanks``, all of them and no others."""
    try:
        found = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except (ValueError, TypeError):
        raise complain(text, f"{where} is not a text with blanks like {{name}}: {text!r}") from None
    for name in found:
        if name not in blanks:
            raise complain(text, f"{where} holds an unknown blank {{{name}}}{nearest(name, blanks)}: '{text}'")
    for name in sorted(blanks) if all_of_them else ():
        if name not in found:
            raise complain(text, f"{where} lacks the blank {{{name}}}: '{text}'")


def check_distinct(complain, node, name, choices):
    """Raise where two of an attribute's choices share a phrase or a prompt."""
    for what, texts in (
        ("phrase", [choice.phrase for choice in choices]),
        ("prompt", [prompt for choice in choices for prompt in choice.prompts]),
    ):
        seen = set()
        for text in texts:
            if text in seen:
                raise complain(node, f"attribute '{name}' has the {what} '{text}' twice")
            seen.add(text)
