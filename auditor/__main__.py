"""Run the command line; the one place where errors become a message and an exit code."""

from __future__ import annotations

import signal


def _raise_interrupts(is_running: bool) -> None:
    """Let Ctrl-C raise KeyboardInterrupt while `main` can report it; before and after, it ends the process silently."""
    handlers = (signal.default_int_handler, signal.SIG_DFL)
    try:
        if signal.getsignal(signal.SIGINT) == handlers[is_running]:  # not what the caller ignores
            signal.signal(signal.SIGINT, handlers[not is_running])
    except ValueError:  # not the main thread: the caller handles signals
        return


_raise_interrupts(False)  # loading the program takes a moment

import errno
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import click

INTERRUPTED = 130
READER_GONE = 141  # what the shell reports of grep, cat and the like when head has seen enough
CLOSED_BY_READER = frozenset({errno.EPIPE} | ({errno.EINVAL} if os.name == "nt" else set()))

# NumPy's linear algebra is not used here, and starting its threads takes as long as reading many a capture.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# Nearly all that an audit makes lives to its end. Looking for garbage after every 700 objects, as Python does, takes a
# tenth of the time of a large audit and finds none.
NEW_OBJECTS = 100_000


class TerminationSignal(BaseException):
    """The program was told to end, by the signal of this number; not an Exception, so that nothing takes it for one."""


def main() -> None:
    """Run `auditor` and exit with its code; no error ever shows as a traceback."""
    gc.set_threshold(NEW_OBJECTS)
    _raise_interrupts(True)
    try:
        code = _code() or 0
    except KeyboardInterrupt:  # a second one, while the first is reported
        code = INTERRUPTED
    _raise_interrupts(False)
    try:
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # nobody can read the messages, which changes nothing
        _let_go(sys.stderr)
    sys.exit(code)


def _code() -> int | None:
    """Return the exit code. Everything else is imported here, so that even an early Ctrl-C is told in one line."""
    try:
        with _stoppable():
            _open_standard_streams()
            from auditor.cli.commands import cli

            code: int | None = cli.main(standalone_mode=False, prog_name="auditor")
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        return _print_error("stopped.", INTERRUPTED)
    except TerminationSignal as stop:
        return _print_error("stopped.", 128 + int(stop.args[0]))
    except SystemExit:  # click ends so when the reader of a pipe is gone, and at nothing else
        return _silently(READER_GONE)
    except OSError as error:
        return _output_failed(error)
    except BaseException as error:
        return _code_of(error)


def _code_of(error: BaseException) -> int:
    """Tell an error and return its exit code."""
    import click

    from auditor.errors import AuditorError, SourceError

    if isinstance(error, AuditorError):
        for source_error in (error, *(error.further if isinstance(error, SourceError) else ())):
            _print_error(str(source_error), source_error.exit_code)
        return error.exit_code
    if isinstance(error, click.UsageError) and type(error).__name__ == "NoArgsIsHelpError":  # not in all versions
        error.show()
        return error.exit_code
    if isinstance(error, click.UsageError) and error.ctx is not None:
        usage = f"{_usage_message(error)} For help, run: {error.ctx.command_path} --help"
        return _print_error(usage, error.exit_code)
    if isinstance(error, click.ClickException):
        return _print_error(_usage_message(error), error.exit_code)
    if isinstance(error, click.Abort):
        return _print_error("stopped.", INTERRUPTED)
    if isinstance(error, MemoryError):
        return _print_error(
            "not enough memory. Split a large capture (editcap -c 1000000 IN OUT). For a fleet, set --workers 1.", 1
        )
    if isinstance(error, ImportError) and not os.environ.get("AUDITOR_DEBUG"):
        lost = f"a part of auditor cannot be loaded ({error})"
        return _print_error(f"{lost}. Install it again. To check it, run: auditor doctor", 1)
    if os.environ.get("AUDITOR_DEBUG"):
        raise error
    fault = f"internal error ({type(error).__name__}: {error}). Please report it. "
    return _print_error(f"{fault}To get a traceback, set AUDITOR_DEBUG=1.", 1)


def _usage_message(error: click.ClickException) -> str:
    """Return what click says, as a sentence that follows a prefix."""
    from auditor.errors import ended

    text = error.format_message()
    return ended(text[:1].lower() + text[1:])


def _output_failed(error: OSError) -> int:
    if error.errno in CLOSED_BY_READER:
        return _silently(READER_GONE)
    if error.errno == errno.EBADF and not error.filename:
        return _silently(_print_error("standard output is closed. Write to a file: -o FILE", 1))
    where = error.filename or "the output"
    return _silently(_print_error(f"{where}: {error.strerror or error}. Free disk space, or choose another folder.", 1))


def _silently(code: int) -> int:
    _let_go(sys.stdout)
    return code


def _let_go(stream: TextIO) -> None:
    """Let go of what could not be written: Python would try it again at its end, and complain."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_error(text: str, code: int) -> int:
    from auditor.cli.messages import print_error

    print_error(text)
    return code


def _open_standard_streams() -> None:
    """Put something in the place of streams that the caller closed, and let no character stop a message.

    Otherwise the next file opened would become standard output. The substitute cannot be written to, so a result that
    nobody gets is an error; messages that nobody gets are not.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    sys.stdout = sys.stdout or _stream(1)
    sys.stderr = sys.stderr or _stream(2)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream that a test or a program put there
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _stream(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", closefd=False)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let the signals that end a program end it in order, so that it leaves no temporary file behind."""
    previous = {}
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):  # each of them is missing somewhere
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            with suppress(ValueError):  # not the main thread: the caller handles signals
                previous[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    raise TerminationSignal(number)


if __name__ == "__main__":
    main()
