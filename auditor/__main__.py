"""Run the command line; the one place where errors become a message and an exit code."""

from __future__ import annotations

import os
import sys

import click

from auditor.cli import cli
from auditor.errors import AuditorError

INTERRUPTED = 130

# NumPy's linear algebra is not used here, and starting its threads takes as long as reading many a capture.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run `auditor` and exit with its code; no error ever shows as a traceback."""
    try:
        code = cli.main(standalone_mode=False, prog_name="auditor")
        sys.stdout.flush()
    except AuditorError as error:
        code = _told(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = _told("stopped", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader (head, less) is gone: say nothing
        code = 0
    except OSError as error:
        code = _told(
            f"{error.filename or 'the output'}: {error.strerror or error} - make room or choose another place", 1
        )
    except MemoryError:
        code = _told("not enough memory for this source: split it with editcap -c 1000000 IN OUT", 1)
    except Exception as error:
        if os.environ.get("AUDITOR_DEBUG"):
            raise
        code = _told(
            f"this is a fault of auditor itself ({type(error).__name__}: {error}) - please report it; "
            "AUDITOR_DEBUG=1 shows where it happened",
            1,
        )
    sys.exit(code or 0)


def _told(text: str, code: int) -> int:
    from auditor.render.clean import clean

    lines = [clean(line) for line in text.splitlines()]
    print("auditor: " + "\n".join(lines), file=sys.stderr)  # noqa: T201 - this is where errors are told
    return code


if __name__ == "__main__":
    main()
