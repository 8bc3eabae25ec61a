"""Why a Configuration Manager client installation failed, told from packet captures.

    import auditor
    report = auditor.audit("push.pcapng", roles={"site-server": "10.0.0.5"})
    print(report)

What is heavy (pandas, NumPy) is loaded on first use, so that `auditor --help` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auditor import version

if TYPE_CHECKING:
    from auditor.auditing import audit
    from auditor.errors import ArgumentError, AuditorError, OutputError, RulesetError, SourceError
    from auditor.report import Report
    from auditor.ruleset import load_ruleset
    from auditor.sources.reading import Source, read

__version__ = version.VERSION
_HOMES = {
    "audit": "auditor.auditing",
    "read": "auditor.sources.reading",
    "Source": "auditor.sources.reading",
    "Report": "auditor.report",
    "load_ruleset": "auditor.ruleset",
    **dict.fromkeys(("AuditorError", "SourceError", "RulesetError", "ArgumentError", "OutputError"), "auditor.errors"),
}

__all__ = [
    "ArgumentError",
    "AuditorError",
    "OutputError",
    "Report",
    "RulesetError",
    "Source",
    "SourceError",
    "__version__",
    "audit",
    "load_ruleset",
    "read",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")
