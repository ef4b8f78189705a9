"""The normal form of descriptions. The wanted values are those of ftfy 6 and html.unescape, written out."""

import sys
import unicodedata

import pytest

from modeling_unipt.captions_unipt import normal_caption

CAPTIONS = {
    "A man in a red coat.": "A man in a red coat.",
    "": "",
    # Case, accents, dashes, other scripts, emoji and punctuation stay.
    "A Man WITH a Café bag – “blue” — 100 % wool…": 'A Man WITH a Café bag – "blue" — 100 % wool…',
    "穿红色外套的男人": "穿红色外套的男人",
    "🚶‍♂️ walking": "🚶‍♂️ walking",
    # blanks
    "  A man \n in\tred.\r\n He  walks. ": "A man in red. He walks.",
    "a\u00a0man\u2003in\u2009red\u202f!": "a man in red !",
    "a\u2028man\u2029in\u0020red": "a man in red",
    "a\x0cman": "a man",
    " \n\t\u00a0\u3000": "",
    # HTML
    "a man &amp; a woman": "a man & a woman",
    "&quot;a man&quot; &#39;s bag": '"a man" \'s bag',
    "a&nbsp;man": "a man",
    "&amp;amp;lt;b&amp;gt;": "<b>",
    "&lt;br /&gt;": "<br />",
    "&eacute; &EACUTE; A&NBSP;MAN &UNKNOWN;": "é É A MAN &UNKNOWN;",
    "&#8220;red&#8221; it&#8217;s it&#x2019;s it&#146;s": "\"red\" it's it's it's",
    "AT&T, black&white, R & B": "AT&T, black&white, R & B",
    "&unknown; &;": "&unknown; &;",
    # quotes
    "it\u2019s a \u2018red\u2019 \u201acoat\u201b": "it's a 'red' 'coat'",
    "\u201cred\u201d \u201ecoat\u201f": '"red" "coat"',
    "the man\u02bcs bag": "the man's bag",
    # ligatures
    "a \ufb01ne \ufb02owing sca\ufb00, o\ufb03ce wa\ufb04e \ufb06one": "a fine flowing scaff, office waffle stone",
    "\u0132s \u0133s \u01c6 \u01f3 \u01c9 \u01cc": "IJs ijs dž dz lj nj",
    # widths
    "ａ　Ｍａｎ，１７０ｃｍ": "a Man,170cm",
    "\uff76\uff9e\uff6f\uff82": "ガッツ",
    "￦１００": "₩100",
    # what is not seen
    "\ufeffa man\ufeff": "a man",
    "a\x00 \x07man\x1b\x7f": "a man",
    "a\x0bman": "aman",
    "\x1b[31mred\x1b[0m coat": "red coat",
    "a \ufff9man\ufffa\ufffb \ufffc": "a man",
    "\u206ama\u206fn": "man",
    # Windows-1252 read as Latin-1
    "it\x92s \x93red\x94 \x96 yes\x85": 'it\'s "red" – yes…',
    # UTF-8 read as Windows-1252 or Latin-1
    "itâ€™s a â€œredâ€\x9d Ã©clair â€“ 20Â°": 'it\'s a "red" éclair – 20°',
    "itâ\x80\x99s naÃ¯ve,Â\xa0Ã\xa0 la": "it's naïve, à la",
    "ðŸ™‚ Ã¢â‚¬â„¢ ï»¿man": "🙂 ' man",
    "NÃO, CAFÉ™ à la, Ång, «\xa0café\xa0», 20 €": "NÃO, CAFÉ™ à la, Ång, « café », 20 €",
    # Unicode composition
    "cafe\u0301": "café",
    "A\u030angstro\u0308m": "Ångström",
    "\u212b": "Å",
    "\u1112\u1161\u11ab": "한",
    # halves of characters
    "\ud83d\ude00 a man": "😀 a man",
    "a \ud83d man \ude00": "a \ufffd man \ufffd",
}


@pytest.mark.parametrize("text", CAPTIONS, ids=ascii)
def test_normal_form_is_that_of_ftfy_and_unescape(text):
    assert normal_caption(text) == CAPTIONS[text]


@pytest.mark.parametrize("text", ["&amp;amp;amp;amp;amp;quot;", "\u200b", "\u200b \ufeff\u2060", "＆ｑｕｏｔ；"])
def test_what_has_a_form_of_our_own(text):
    """Entities in entities to any depth; a text without anything to see is blank."""
    wanted = {"&amp;amp;amp;amp;amp;quot;": '"', "＆ｑｕｏｔ；": '"'}
    assert normal_caption(text) == wanted.get(text, "")


def test_the_form_of_every_character_is_its_own_form_and_can_be_written():
    for code in (*range(0x10000), *range(0x10000, sys.maxunicode, 97)):
        form = normal_caption(f"a{chr(code)}b")
        assert normal_caption(form) == form, hex(code)
        assert unicodedata.is_normalized("NFC", form), hex(code)
        form.encode("utf-8")
