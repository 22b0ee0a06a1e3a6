"""The formats on disk: files that an older version wrote can always be loaded. Never edit the files in tests/data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from jobs.claims import claim
from jobs.schema import Job, Progress, State, encode
from jobs.spool import Spool
from outputs.sidecar import Sidecar
from outputs.store import ImageStore

DATA = Path(__file__).resolve().parents[2] / "data"
PINNED: list[tuple[str, type[Struct]]] = [
    ("job_v1_first.json", Job),
    ("job_v1.json", Job),
    ("progress_v1.json", Progress),
    ("sidecar_v1.json", Sidecar),
]


def kept(written: Any, again: Any) -> Any:
    """What there is in `again` of that which was written; fields that came since are left out."""
    if not isinstance(written, dict):
        return again
    return {key: kept(value, again[key]) for key, value in written.items()}


@pytest.mark.parametrize(("name", "kind"), PINNED)
def test_a_file_of_version_1_loads_and_keeps_every_value(name: str, kind: type[Struct]) -> None:
    content = (DATA / name).read_bytes()
    again = json.loads(encode(msgspec.json.decode(content, type=kind)))
    assert kept(json.loads(content), again) == json.loads(content)


@pytest.mark.parametrize(("name", "kind"), PINNED)
def test_a_file_of_a_newer_program_with_more_fields_loads(name: str, kind: type[Struct]) -> None:
    document = json.loads((DATA / name).read_bytes()) | {"a_field_of_the_future": {"x": [1]}}
    msgspec.json.decode(json.dumps(document), type=kind)


@pytest.mark.parametrize(("name", "kind"), PINNED)
def test_every_field_that_is_not_pinned_has_a_default(name: str, kind: type[Struct]) -> None:
    """Else a file of version 1 would not load; the first file of version 1 has the fewest fields."""
    pinned = set(json.loads((DATA / name).read_bytes()))
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    assert required <= pinned


def test_another_schema_version_is_not_taken_for_this_one() -> None:
    document = json.loads((DATA / "job_v1.json").read_bytes()) | {"schema": 2}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(document), type=Job)


def test_an_old_data_directory_goes_on(spool: Spool) -> None:
    content = (DATA / "job_v1_first.json").read_bytes()
    job_id = json.loads(content)["id"]
    spool.path(State.PENDING, job_id).write_bytes(content)
    spool.path(State.FAILED, "castle").write_bytes((DATA / "job_v1.json").read_bytes())
    held = claim(spool, job_id)
    assert held is not None
    held.complete()
    assert spool.find(job_id)[0] is State.COMPLETED
    assert spool.find("castle")[1].attempts == 3


def test_an_old_image_is_found_by_its_id(spool: Spool) -> None:
    store = ImageStore(spool.layout)
    content = (DATA / "sidecar_v1.json").read_bytes()
    image_id = json.loads(content)["id"]
    path = store.sidecar_path(image_id)
    assert path.relative_to(spool.layout.outputs).as_posix() == f"2025/11/23/{image_id}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.sidecar(image_id).prompt == "a red boat on a calm sea"
