"""What the two kinds of attributes in a vocabulary file share: prompts, lists, phrases, blanks."""

import string
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from modeling_unipt.common.words import nearest, with_articles

from .vocabulary import Choice
from .yaml_file import Complaint, LinedDict


class PromptForms:
    """The prompt, and its further forms for an ensemble, that hold inside one node of the file.

    A node with a ``prompt`` of its own takes none of the forms around it: they were written for another sentence.

    Args:
        node: the file's content, an attribute or a phrase.
        around: the forms of the node in which this one lies, or None for the whole file.

    Raises:
        UserError: ``prompts`` is not a list of texts.
    """

    def __init__(self, complain: Complaint, node: Mapping[str, Any], around: "PromptForms | None" = None) -> None:
        self.complain = complain
        self.prompt = node.get("prompt", around.prompt if around else None)
        inherited = around.others if around and "prompt" not in node else []
        self.others = node.get("prompts", inherited)
        if not isinstance(self.others, list) or not all(isinstance(form, str) for form in self.others):
            raise complain(node, "'prompts' must be a list of texts, further forms of 'prompt'")

    def inside(self, node: Mapping[str, Any]) -> "PromptForms":
        """The forms that hold inside ``node``, which lies in this one's node."""
        return PromptForms(self.complain, node, self)

    def prompts(self, node: Mapping[str, Any], name: str, phrase: str) -> tuple[str, ...]:
        """The prompts of one phrase of the attribute ``name``.

        Args:
            node: the phrase's own node, which may have forms of its own. Those may lack the blank ``{phrase}``.

        Raises:
            UserError: there is no prompt, or a form lacks its blank or holds another one.
        """
        forms = self.inside(node)
        if not isinstance(forms.prompt, str) or not forms.prompt.strip():
            raise self.complain(
                node, f"phrase '{phrase}' of attribute '{name}' has no prompt, and there is no default one"
            )
        prompts = [self._filled(forms.prompt, name, phrase, own="prompt" in node)]
        for form in forms.others:
            prompts.append(self._filled(form, name, phrase, own="prompts" in node))
        return tuple(prompts)

    def _filled(self, form: str, name: str, phrase: str, own: bool) -> str:
        if not own or "{" in form:
            check_blanks(self.complain, form, f"the prompt of attribute '{name}'", {"phrase"})
            form = form.format(phrase=phrase)
        return with_articles(str(form))


def read_list(complain: Complaint, node: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """The list under ``key``.

    Raises:
        UserError: there is none, or it is empty.
    """
    values = node.get(key)
    if not isinstance(values, list) or not values:
        raise complain(node, f"{where} needs '{key}', a list that is not empty")
    return values


def read_entry(complain: Complaint, entry: Any, where: str, allowed: Sequence[str]) -> Mapping[str, Any]:
    """A phrase or value as a mapping; the file may have it as a bare text, which then stands under ``allowed[0]``.

    Raises:
        UserError: it is neither a text nor a mapping with ``allowed`` keys.
    """
    if isinstance(entry, dict):
        complain.check_keys(entry, where, allowed)
        return entry
    if not isinstance(entry, str):
        # YAML reads a bare `on` or `no` as a truth value.
        raise complain(entry, f"{where} must be a text or a mapping, not {entry!r}; put quotes around it")
    content = LinedDict({allowed[0]: entry})
    content.line = getattr(entry, "line", None)
    return content


def value_of(word: Mapping[str, Any]) -> str:
    """The name of what a phrase or word says."""
    return str(word.get("value", word.get("phrase")))


def texts_of(complain: Complaint, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The list of texts under ``key``; empty if there is none.

    ``synonyms`` lists what a caption may write instead of a phrase or word. ``more`` lists what it may write besides,
    if its templates draw from all synonyms.

    Raises:
        UserError: it is not a list of texts.
    """
    texts = entry.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise complain(entry, f"'{key}' must be a list of texts")
    return tuple(map(str, texts))


def blanks_of(text: str) -> list[str]:
    """The names of the blanks ``{name}`` in ``text``, in their order.

    Raises:
        ValueError: the braces do not match.
    """
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def check_blanks(complain: Complaint, text: Any, where: str, blanks: Collection[str], all_of_them: bool = True) -> None:
    """Check that ``text`` holds no other blanks ``{name}`` than ``blanks``, and all of those if ``all_of_them``.

    Raises:
        UserError: a blank is unknown or missing.
    """
    try:
        found = blanks_of(text)
    except (ValueError, TypeError):
        raise complain(text, f"{where} is not a text with blanks like {{name}}: {text!r}") from None
    for name in found:
        if name not in blanks:
            raise complain(text, f"{where} holds an unknown blank {{{name}}}{nearest(name, blanks)}: '{text}'")
    if not all_of_them:
        return
    for name in sorted(blanks):
        if name not in found:
            raise complain(text, f"{where} lacks the blank {{{name}}}: '{text}'")


def check_distinct(complain: Complaint, node: Mapping[str, Any], name: str, choices: Sequence[Choice]) -> None:
    """Check that no two choices of the attribute ``name`` share a phrase or a prompt.

    Raises:
        UserError: two do.
    """
    phrases = [choice.phrase for choice in choices]
    prompts = [prompt for choice in choices for prompt in choice.prompts]
    for kind, texts in (("phrase", phrases), ("prompt", prompts)):
        seen = set()
        for text in texts:
            if text in seen:
                raise complain(node, f"attribute '{name}' has the {kind} '{text}' twice")
            seen.add(text)
