"""The version of this package, and how reports name it."""

from __future__ import annotations

VERSION = "0.1.0"
TOOL = ("auditor", VERSION)
