"""Why a Configuration Manager client installation failed, told from packet captures and firewall logs.

    import auditor
    report = auditor.audit("push.pcapng", roles={"site-server": "10.0.0.5"})
    print(report)

Of many computers at once, each with a log of its own:

    fleet = auditor.batch("logs", out="fleet", host_from="{site}/{host}/*.log").report
    print(fleet)

What is heavy (pandas, NumPy) is loaded on first use, so that `auditor --help` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auditor import version

if TYPE_CHECKING:
    from auditor.api.audit import audit
    from auditor.api.batch import Audited, batch, host_report, merge
    from auditor.api.fleet_report import FleetReport, load_fleet
    from auditor.api.report import Comparison, Report, compare, load_report, redact
    from auditor.errors import (
        ArgumentError,
        AuditorError,
        MissingPackageError,
        OutputError,
        ReportError,
        RulesetError,
        SourceError,
    )
    from auditor.fleet.summaries.summary import Summary, summarize
    from auditor.ruleset.ruleset import load_ruleset
    from auditor.sources.read import read
    from auditor.sources.source import Source

__version__ = version.VERSION

_HOMES = {
    "audit": "auditor.api.audit",
    "read": "auditor.sources.read",
    "Source": "auditor.sources.source",
    "Report": "auditor.api.report",
    "load_ruleset": "auditor.ruleset.ruleset",
    "load_report": "auditor.api.report",
    "redact": "auditor.api.report",
    "compare": "auditor.api.report",
    "Comparison": "auditor.api.report",
    **dict.fromkeys(("batch", "merge", "host_report", "Audited"), "auditor.api.batch"),
    **dict.fromkeys(("summarize", "Summary"), "auditor.fleet.summaries.summary"),
    "FleetReport": "auditor.api.fleet_report",
    "load_fleet": "auditor.api.fleet_report",
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
    "Audited",
    "AuditorError",
    "Comparison",
    "FleetReport",
    "MissingPackageError",
    "OutputError",
    "Report",
    "ReportError",
    "RulesetError",
    "Source",
    "SourceError",
    "Summary",
    "__version__",
    "audit",
    "batch",
    "compare",
    "host_report",
    "load_fleet",
    "load_report",
    "load_ruleset",
    "merge",
    "read",
    "redact",
    "summarize",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        globals()[name] = attribute = getattr(import_module(_HOMES[name]), name)
        return attribute
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")
