"""What all HTML pages share: templates that clean and escape, our own style and script, a policy that forbids the rest.

Every value that a template shows goes through `clean` and is escaped; nobody can forget either.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from auditor.render import wording
from auditor.render.clean import clean
from auditor.render.html import diagrams as drawing
from auditor.report import model as r
from auditor.report.fleet_model import NO_EVIDENCE

FOLDER = Path(__file__).parent / "page"
STATES = {
    r.FAILS: drawing.BAD,
    r.UNPROVEN: drawing.UNSURE,
    NO_EVIDENCE: drawing.UNTRIED,
    r.ALLOWED: drawing.GOOD,
    r.WORKS: drawing.GOOD,
}


def rendered(name: str, **values: Any) -> str:
    """Return a template of the folder "page" with its values."""
    text: str = template(name).render(**values)
    return text


def template(name: str) -> Any:
    """Return a template of the folder "page"."""
    return _environment().get_template(name)


@cache
def own(*names: str) -> Markup:
    """Return files of our own that go into a page as they are, one after the other."""
    return Markup("").join(Markup((FOLDER / name).read_text(encoding="utf-8")) for name in names)


def policy(style: str, *scripts: str) -> str:
    """Return a Content-Security-Policy that allows one style and these scripts, and nothing else at all."""
    allowed = " ".join(map(_hash, scripts))
    return f"default-src 'none'; style-src {_hash(style)}; script-src {allowed}; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"wording": wording, "drawing": drawing, "r": r, "states": STATES}
    return environment


def _harmless(value: Any) -> Any:
    """Return what a template shows; Jinja escapes it afterwards."""
    return value if isinstance(value, Markup | int | float) else clean(str(value))


def _hash(of: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(of.encode()).digest()).decode()}'"
