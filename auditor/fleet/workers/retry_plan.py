"""What is to be done next when the work on a task fails: who is suspected, who is tried again, who is lost.

A file is lost only after its work ended a worker twice, the second time alone in a process of its own while nothing
else ran: the first time it may have been another one's fault, or there was no memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from auditor.errors import SourceError

NOT_ENOUGH_MEMORY = "It may need more memory. Analyze it alone: auditor analyze FILE"
REPORT_IT = "Please report it. For details, run: auditor analyze FILE"


@dataclass(frozen=True, slots=True)
class Task:
    """Some files that are worked on together.

    Attributes:
        number: Whatever the caller counts by.
    """

    number: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that cannot be worked on.

    Attributes:
        how: What its work did, such as "ended its process twice (signal 9)".
    """

    path: str
    how: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """How the work on some files ended instead of with a result.

    Attributes:
        suspect: The file that it was at, if it reported it.
        hung: It took too long, which once is enough.
    """

    how: str
    hint: str = ""
    suspect: str = ""
    hung: bool = False

    @classmethod
    def of(cls, error: BaseException, suspect: str) -> Failure:
        """Return the message for an error that the work raised."""
        if isinstance(error, SourceError):
            return cls(error.what, error.hint or REPORT_IT, suspect)
        hint = NOT_ENOUGH_MEMORY if isinstance(error, MemoryError) else REPORT_IT
        return cls(f"{type(error).__name__}: {error}".removesuffix(": "), hint, suspect)


class Stage(Enum):
    """How often a task was tried, and how."""

    FIRST = auto()
    REST = auto()  # without the file that was suspected first
    SINGLE = auto()
    ALONE = auto()  # nothing else runs, and the process is a new one


@dataclass(frozen=True, slots=True)
class Attempt:
    """A task, or a part of one, as it is tried."""

    task: Task
    stage: Stage = Stage.FIRST

    @property
    def alone(self) -> bool:
        """Tell whether nothing else may run meanwhile, and the process must be a new one."""
        return self.stage is Stage.ALONE


@dataclass
class Plan:
    """What is still to be done: tasks are made only when they are requested."""

    tasks: Iterable[Task]
    _again: deque[Attempt] = field(default_factory=deque)
    _alone: deque[Attempt] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._coming = iter(self.tasks)

    def next(self, running: int) -> Attempt | None:
        """Return what to try next while so many others run; None if there is nothing until one of them has ended."""
        if self._again:
            return self._again.popleft()
        task = next(self._coming, None)
        if task is not None:
            return Attempt(task)
        return self._alone.popleft() if self._alone and not running else None

    def put_back(self, attempt: Attempt) -> None:
        """Take back what could not even be begun."""
        (self._alone if attempt.alone else self._again).appendleft(attempt)

    def failed(self, attempt: Attempt, failure: Failure) -> tuple[Task, FailedFile] | None:
        """Note that an attempt failed; return the file that is lost by it."""
        number, files = attempt.task.number, attempt.task.files
        suspect = failure.suspect if failure.suspect in files else files[0] if len(files) == 1 else ""
        unsuspected = tuple(path for path in files if path != suspect)
        if unsuspected and suspect and attempt.stage is Stage.FIRST:
            self._again.append(Attempt(Task(number, unsuspected), Stage.REST))
        else:
            self._again += [Attempt(Task(number, (path,)), Stage.SINGLE) for path in unsuspected]
        if not suspect:
            return None
        alone = Task(number, (suspect,))
        if failure.hung or attempt.alone:
            return alone, FailedFile(suspect, failure.how, failure.hint)
        self._alone.append(Attempt(alone, Stage.ALONE))
        return None
