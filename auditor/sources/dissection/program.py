"""Find Wireshark's command-line program and its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

WINDOWS_FOLDERS = ("ProgramFiles", "ProgramFiles(x86)", "ProgramW6432")
SECONDS = 20


def find_tshark() -> Path | None:
    """Return the path of tshark: on the PATH, or where Wireshark's installer puts it on Windows."""
    program = shutil.which("tshark")
    if program and os.path.isabs(program):  # Windows looks into the current folder first: where the captures lie
        return Path(program)
    folders = [os.environ[name] for name in WINDOWS_FOLDERS if os.environ.get(name)]
    places = [Path(folder) / "Wireshark" / "tshark.exe" for folder in folders]
    return next((place for place in places if place.is_file()), None)


def tshark_version(path: Path) -> str | None:
    """Return tshark's version such as "4.0.17", None if it does not run."""
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\b(\d+\.\d+\.\d+)", done.stdout)
    return match.group(1) if match else None
