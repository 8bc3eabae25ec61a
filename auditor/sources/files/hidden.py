"""Names of files that a system keeps for itself: they are no evidence, and are left out without a word."""

from __future__ import annotations

SYSTEM_FILES = frozenset({"desktop.ini", "thumbs.db", "ehthumbs.db", "folder.htt"})
SYSTEM_FOLDERS = frozenset(
    {
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "dfsrprivate",
        "@eadir",
        "#recycle",
        "#snapshot",
        "__macosx",
    }
)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is hidden, temporary, or of the system."""
    lower = name.lower()
    return lower.startswith((".", "~$")) or lower in SYSTEM_FILES or lower in SYSTEM_FOLDERS
