"""Read one input of any kind: `read` looks at the content, never at the name."""

from __future__ import annotations

from auditor.sources.reading import Source, read
from auditor.sources.warnings import SourceWarning

__all__ = ["Source", "SourceWarning", "read"]
