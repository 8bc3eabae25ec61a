"""Messages between a pool and its worker processes: pickled, each behind its length, over a pipe."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], message: Any) -> None:
    """Write a message.

    Raises:
        OSError: When the other side is gone, and what pickle raises, before a byte is written.
    """
    send_bytes(stream, packed(message))


def packed(message: Any) -> bytes:
    """Return a message as it is sent."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def send_bytes(stream: IO[bytes], content: bytes) -> None:
    """Write a message that is pickled already."""
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """Return the next message, still pickled.

    Raises:
        EOFError: When the other side is gone.
    """
    return _exactly(stream, LENGTH.unpack(_exactly(stream, LENGTH.size))[0])


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content
