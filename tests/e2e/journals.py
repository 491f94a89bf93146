"""A rank's journal as its bytes are: docs/architecture.md, src/truth/journal.h."""

from __future__ import annotations

import struct
import zlib

RECORD = struct.Struct("<4Bhh7iII4xqqqqqqqQ")
ENTRY = RECORD.size + 4  # with its checksum
FIRST_ID = 56  # where a record has it
INTENT, DONE = 1, 2  # a record's type: before a write is sent, and at its end
_SIGN = slice(100, 112)  # of life, in the first record, with a checksum of its own: not in the record's


def places(journal: bytes) -> range:
    """Where the records begin, but for the first, which is the journal's own."""
    return range(ENTRY, len(journal) - ENTRY + 1, ENTRY)


def operation(journal: bytes, at: int) -> tuple[bytes, bytes]:
    """Which one a record is of: its worker, and its number among that one's."""
    return journal[at + 8:at + 12], journal[at + 48:at + 56]


def sealed(journal: bytes) -> bytes:
    """With the right checksums for whatever stands there."""
    entries, of_start = [], 0
    for place, at in enumerate(range(0, len(journal) - ENTRY + 1, ENTRY)):
        record = journal[at:at + RECORD.size]
        counted = record[:_SIGN.start] + bytes(12) + record[_SIGN.stop:] if place == 0 else record
        checksum = zlib.crc32(counted, of_start ^ place)
        of_start = checksum if place == 0 else of_start
        entries.append(record + struct.pack("<I", checksum))
    return b"".join(entries)
