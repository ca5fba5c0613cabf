"""Cleans text that was scraped from web pages: HTML, scripts and style sheets."""

import html
import re
from collections.abc import Callable, Sequence

_TAGS = (
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blockquote "
    "body br button canvas caption center cite code col colgroup data dd del details dfn div dl dt "
    "em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head "
    "header hr html i iframe img input ins kbd label legend li link main map mark meta nav nobr "
    "noscript object ol optgroup option p param picture pre q s samp script section select small "
    "source span strike strong style sub summary sup svg table tbody td template textarea tfoot th "
    "thead title tr tt u ul var video wbr"
)
_INLINE_TAGS = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp "
    "small span strike strong sub sup tt u var wbr"
)
_NAMES, _INLINE = frozenset(_TAGS.split()), frozenset(_INLINE_TAGS.split())
PAGE_FIELDS = ("title", "category", "brand")
"""Fields in which code is a scraping error; a description may be about code."""
_WITHOUT_TEXT = ("script", "style")
_TAG = re.compile(r"<(?:(!--)|(/?)([a-zA-Z][\w:-]*)([^<>]*)(>?))")
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_CODE = re.compile(
    r"\bvar\s{1,9}[\w$]{1,40}\s{0,9}=|\bfunction\s{0,9}[\w$]{0,40}\s{0,9}\([^()]{0,99}\)\s{0,9}\{"
    r"|\.getTime\(\)"
    r"|\A\s{0,99}(?:[.#@][\w-]|(?:a|body|div|html|img|li|p|span|table|td|ul)\b)[^{}]{0,300}"
    r"\{\s{0,99}(?:[a-z-]{1,40}\s{0,9}:|[.#])"
)
_SUSPICIOUS = re.compile(r"[&<{=(]")
_ROUNDS = 3  # some pages are escaped twice: &amp;quot;, &lt;br&gt;


def has_markup(text: str) -> bool:
    """Whether a text may contain tags or entities (a quick test, also True for a single & or <)."""
    return "&" in text or "<" in text


def is_code(text: str) -> bool:
    """Whether a text is part of a script or style sheet."""
    return ("{" in text or "=" in text or "(" in text) and _CODE.search(text) is not None


def to_plain(text: str) -> str:
    """The text that a page would show, with single spaces; text without markup does not change.

    Tags, scripts and style sheets are removed, and entities become characters. The `alt` text of
    pictures is used if there is no other text. A < that does not start an HTML tag stays.
    """
    plain = text
    for _ in range(_ROUNDS):
        shown = html.unescape(_without_tags(plain))
        if shown == plain:
            break
        plain = shown
        if not has_markup(plain):
            break
    return text if plain == text else " ".join(plain.split())


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    pieces, alts = [], []
    at = 0
    comments_end = True  # if one comment has no end, later ones have none either
    while found := _TAG.search(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        comment, slash, name, attributes, closed = found.groups()
        if comment:
            end = text.find("-->", at) if comments_end else -1
            comments_end = end >= 0
            if comments_end:
                at = end + len("-->")
            continue
        name = name.lower()
        if not _is_tag(name, attributes, closed):
            pieces.append(found.group())
            continue
        if name == "img" and (alt := _ALT.search(attributes)):
            alts.append(next(filter(None, alt.groups()), ""))
        if name not in _INLINE:
            pieces.append(" ")
        if name in _WITHOUT_TEXT and not slash:
            at = _end_of(name, text, at)
    pieces.append(text[at:])
    shown = "".join(pieces)
    return shown if shown.strip() else " ".join(alts)


def _is_tag(name: str, attributes: str, closed: str) -> bool:
    """Whether this is a tag, and not "x <y and y> z" or text cut off at "a <b"."""
    if not closed:
        return "=" in attributes and name in _NAMES
    return name in _NAMES or "-" in name or ":" in name or "=" in attributes


def _end_of(name: str, text: str, at: int) -> int:
    """The end of the script or style sheet that starts at `at`."""
    end = re.compile(f"</{name}", re.IGNORECASE).search(text, at)
    return end.start() if end else len(text)


def plain_texts(texts: Sequence[str], field: str, note: Callable[[str, str], None]) -> list[str]:
    """Clean the texts of one field of a row with `to_plain`.

    Args:
        texts: as in the file.
        field: name of the column. In `PAGE_FIELDS`, code becomes "".
        note: called once if there was HTML, and once if there was code.
    """
    plain = list(texts)
    if any(map(has_markup, plain)):
        plain = list(map(to_plain, plain))
        if plain != list(texts):
            note(f"{field} holds HTML", "its tags and entities become plain text")
    if field in PAGE_FIELDS and any(map(is_code, plain)):
        note(f"{field} is a script or style sheet of the page", "it is treated as missing")
        plain = ["" if is_code(text) else text for text in plain]
    return plain


def plain_text(text: str, field: str, note: Callable[[str, str], None]) -> str:
    """Clean one text; see `plain_texts`."""
    if not _SUSPICIOUS.search(text):
        return text
    return plain_texts((text,), field, note)[0]
