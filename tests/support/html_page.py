"""A page of HTML, read by a strict parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from html5lib import HTMLParser

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"


def parsed(page: str) -> Element:
    """Return a page as a tree; an error of its markup raises."""
    return HTMLParser(strict=True).parse(page)


def words(element: Element) -> str:
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def all_of(root: Element, name: str, cls: str | None = None) -> list[Element]:
    namespace = SVG if name in ("svg", "text", "g", "desc", "title", "line", "polygon", "path") else HTML
    return [one for one in root.iter(namespace + name) if cls in (None, one.get("class"))]


def one_of(root: Element, name: str) -> Element:
    (found,) = all_of(root, name)
    return found


def outline(root: Element) -> list[tuple[str, tuple[str, ...]]]:
    """Return elements and their attributes, but not what is inside drawings: a longer name has more lines there."""
    return [(one.tag, tuple(sorted(one.attrib))) for one in outside_drawings(root)]


def outside_drawings(root: Element) -> Iterator[Element]:
    for child in root:
        if isinstance(child.tag, str):
            yield child
        if child.tag != SVG + "svg":
            yield from outside_drawings(child)
