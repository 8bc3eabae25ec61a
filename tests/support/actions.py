"""Steps of protocols by their words."""

from __future__ import annotations

from auditor.sources.dissection.steps import Action, StepKind

BY_WORDS = {
    "open the RPC interface ": StepKind.BIND,
    "call the RPC interface ": StepKind.CALL,
    "connect to ": StepKind.CONNECT,
    "copy to ": StepKind.COPY,
    "open ": StepKind.OPEN,
}


def action(text: str) -> Action:
    """Return what a step asks for that the report words so."""
    for words, kind in BY_WORDS.items():
        if text.startswith(words):
            return Action(kind, text.removeprefix(words))
    return Action(StepKind.LOG_ON) if text == "log on" else Action(StepKind.PUSH_CALL, text)
