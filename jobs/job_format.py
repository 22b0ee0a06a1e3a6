"""The content of a job's file, across versions: what can be read, and what a rewrite must keep.

A newer program may add fields to schema 1, which older ones must not lose when they rewrite the file, or it
may write a newer schema, which older ones must leave alone. Neither is damage.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from jobs.errors import CorruptJob, NewerJob
from jobs.schema import SCHEMA_VERSION, Job, encode

_decode: Final = msgspec.json.Decoder(Job).decode


class _Header(Struct):
    """What every version writes."""

    schema: int


_decode_header: Final = msgspec.json.Decoder(_Header).decode


def decode_job(content: bytes, name: str) -> Job:
    """The job in a file, which is called `name` in errors; raises NewerJob, CorruptJob."""
    try:
        return _decode(content)
    except ValueError as error:
        if (schema := _schema_of(content)) > SCHEMA_VERSION:
            raise NewerJob(name, schema, SCHEMA_VERSION) from error
        raise CorruptJob(f"{name} cannot be read as a job: {error}.") from error


def _schema_of(content: bytes) -> int:
    try:
        return _decode_header(content).schema
    except ValueError:
        return 0


def encode_over(before: bytes, job: Job) -> bytes:
    """The content of a job's file for `job`, in which whatever did not change stays as it was.

    So the fields of a newer program survive, also within a record (such as `effective_settings`) of which the known
    fields are the same. Where `before` is no job, nothing is kept of it.
    """
    try:
        known, document = _decode(before), msgspec.json.decode(before, type=dict[str, Raw])
    except ValueError:
        return encode(job)
    for field in job.__struct_fields__:
        value = getattr(job, field)
        if field not in document or getattr(known, field) != value:
            document[field] = Raw(msgspec.json.encode(value))
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
