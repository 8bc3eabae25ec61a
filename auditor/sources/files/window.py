"""Read a file, packed or not, through a window that moves over it."""

from __future__ import annotations

import io
import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from auditor.sources.files.gzip_stream import GZIP_MAGIC, EndlessError, Unpacked
from auditor.sources.files.warnings import SourceWarning, warning

HEADROOM = 512 * 1024  # in front of what is read, for what was left over before
PADDING = bytes(4096)  # zeros behind the window, so that reading the headers of a short last packet stays inside
UNPACKED_PIECE = 1024 * 1024
MOST_EXPANDED = 1032  # bytes that one packed byte can hold, at most: so says zlib.net, "Maximum Compression Factor"


class Window:
    """A stretch of a file in memory: data[begin:end] is unread, data[0] would be at byte `passed` of the file.

    Two buffers take turns: while one is looked at, a thread fills the other, if there is more than the first of them
    holds; what is left over in the one is put in front of what was read into the other. The file is read, not mapped:
    a mapped file that shrinks (a live capture, a network share) ends the process.
    """

    def __init__(self, raw: io.BufferedReader, size: int, warnings: list[SourceWarning]) -> None:
        self.gzipped = raw.peek(2)[:2] == GZIP_MAGIC
        self._raw = raw
        self._packed = Unpacked(raw) if self.gzipped else None
        self._warnings = warnings
        most = os.fstat(raw.fileno()).st_size * (MOST_EXPANDED if self.gzipped else 1)
        self._size = min(size, most + 1)
        self.data = bytearray()
        self.begin = self.end = self.passed = 0
        self._reader = ThreadPoolExecutor(1)
        self._other = self._new_buffer()
        self._coming: Future[int] | None = Future()
        self._coming.set_result(self._read(self._room(self._other)))
        self.fill()

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown()

    @property
    def position(self) -> int:
        """How many bytes of the file are in use or behind; asking the file itself would wait for the thread."""
        return self.passed + self.end if self._packed is None else self._packed.taken

    def fill(self) -> bool:
        """Move on to what was read meanwhile, with what is unread in front of it; False when there is no more."""
        if self._coming is None:
            return False
        got = self._coming.result()
        unread, used, data = self.data[self.begin : self.end], self.data, self._other
        if len(unread) > HEADROOM:
            data = bytearray(len(unread) - HEADROOM) + data
        room = max(len(unread), HEADROOM)
        data[room - len(unread) : room] = unread
        data[room + got : room + got + len(PADDING)] = PADDING
        self.passed += self.begin - (room - len(unread))
        self.begin, self.end = room - len(unread), room + got
        self.data, self.bytes = data, np.frombuffer(data, np.uint8)
        self._coming = None
        if got == self._size:
            self._read_ahead(used if len(used) == len(self._other) else self._new_buffer())
        return got > 0

    def _new_buffer(self) -> bytearray:
        return bytearray(HEADROOM + self._size + len(PADDING))

    def _read_ahead(self, buffer: bytearray) -> None:
        self._other = buffer
        self._coming = self._reader.submit(self._read, self._room(buffer))

    def _room(self, buffer: bytearray) -> memoryview:
        return memoryview(buffer)[HEADROOM : HEADROOM + self._size]

    def _read(self, room: memoryview) -> int:
        return self._raw.readinto(room) if self._packed is None else self._unpack(self._packed, room)

    def _unpack(self, packed: Unpacked, room: memoryview) -> int:
        got = 0
        try:
            while piece := packed.read(min(UNPACKED_PIECE, len(room) - got)):
                room[got : got + len(piece)] = piece
                got += len(piece)
                if got == len(room):
                    break
        except (EOFError, zlib.error) as error:
            return self._stop(got, warning("cut-short", "gzip-broken", error=error))
        except EndlessError as error:
            return self._stop(got, warning("expands-too-much", error=error))
        return got

    def _stop(self, got: int, why: SourceWarning) -> int:
        self._warnings.append(why)
        self._packed = None
        self._raw = io.BufferedReader(io.BytesIO())
        return got
