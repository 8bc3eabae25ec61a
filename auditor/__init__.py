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
    from auditor.comparison import Comparison, compare
    from auditor.errors import (
        ArgumentError,
        AuditorError,
        MissingPackageError,
        OutputError,
        ReportError,
        RulesetError,
        SourceError,
    )
    from auditor.redaction import redact
    from auditor.report import Report
    from auditor.ruleset import load_ruleset
    from auditor.saved import load_report
    from auditor.sources.reading import read
    from auditor.sources.source import Source

__version__ = version.VERSION
_HOMES = {
    "audit": "auditor.auditing",
    "read": "auditor.sources.reading",
    "Source": "auditor.sources.source",
    "Report": "auditor.report",
    "load_ruleset": "auditor.ruleset",
    "load_report": "auditor.saved",
    "redact": "auditor.redaction",
    "compare": "auditor.comparison",
    "Comparison": "auditor.comparison",
    **dict.fromkeys(
        (
            "AuditorError",
            "SourceError",
            "ReportError",
            "RulesetError",
            "ArgumentError",
            "OutputError",
            "MissingPackageError",
        ),
        "auditor.errors",
    ),
}

__all__ = [
    "ArgumentError",
    "AuditorError",
    "Comparison",
    "MissingPackageError",
    "OutputError",
    "Report",
    "ReportError",
    "RulesetError",
    "Source",
    "SourceError",
    "__version__",
    "audit",
    "compare",
    "load_report",
    "load_ruleset",
    "read",
    "redact",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        globals()[name] = found = getattr(import_module(_HOMES[name]), name)
        return found
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")
