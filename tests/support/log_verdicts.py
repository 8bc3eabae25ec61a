"""What an audit of logs says of one requirement."""

from __future__ import annotations

import auditor
from auditor.report.model import RequirementVerdict

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}


def verdict(report: auditor.Report, name: str) -> RequirementVerdict:
    return next(one for one in report.clients[0].method("client-push").requirements if one.row == name)


def said(one: RequirementVerdict) -> str:
    return " ".join(filter(None, (one.verdict, one.confidence, one.blocked_at)))
