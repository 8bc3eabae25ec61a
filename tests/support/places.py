"""The folders of the project that tests read, wherever the test itself lies."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
DOCS = ROOT / "docs"
GOLD = ROOT / "tests" / "gold"
RULESETS = ROOT / "rulesets"
SAMPLES = ROOT / "sample_captures"
