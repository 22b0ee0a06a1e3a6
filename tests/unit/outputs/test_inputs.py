"""The store of pictures that came in: by content, durable, and swept without taking what is in use."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from core import files
from core.layout import Layout
from jobs.schema import State
from jobs.spool import Spool
from outputs.decoding import clean_png
from outputs.inputs import SPARED_SECONDS, SWEEP_SECONDS, DamagedInput, InputNotFound, InputStore


@pytest.fixture
def store(spool: Spool) -> InputStore:
    return InputStore(spool.layout)


def png(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (16, 8), shade).save(stream, "PNG")
    return clean_png(stream.getvalue(), "image")


def age(store: InputStore, identifier: str, seconds: float = SPARED_SECONDS + 1) -> None:
    path = store.layout.input(identifier.removeprefix("in_"))
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def sweep(store: InputStore) -> int:
    """Sweep, whenever the last sweep was."""
    store.layout.inputs_swept.touch()
    os.truncate(store.layout.inputs_swept, 0)
    return store.sweep()


def test_what_is_stored_is_found_by_its_content(store: InputStore) -> None:
    stored = store.put(png())
    assert (stored.width, stored.height, stored.size_bytes) == (16, 8, len(png()))
    assert store.put(png()) == stored
    assert store.look(stored.id) == stored
    assert store.read(stored.id) == png()
    assert store.picture(stored.id).size == (16, 8)
    assert store.has(stored.id)
    assert list(store.layout.temporary.iterdir()) == []


@pytest.mark.parametrize("identifier", ["in_" + "0" * 64, "in_../../x", "", "in_" + "A" * 64, "img_1"])
def test_what_is_not_there_is_said_so(store: InputStore, identifier: str) -> None:
    for look in (store.read, store.use, store.look, store.picture):
        with pytest.raises(InputNotFound):
            look(identifier)
    assert not store.has(identifier)


def test_damage_is_noticed_and_mended(store: InputStore) -> None:
    stored = store.put(png())
    path = store.layout.input(stored.sha256)
    path.write_bytes(b"nothing")
    with pytest.raises(DamagedInput):
        store.read(stored.id)
    assert store.put(png()) == stored
    assert store.read(stored.id) == png()
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedInput):
        store.read(stored.id)


def test_only_old_pictures_that_no_job_names_are_swept(store: InputStore, spool: Spool) -> None:
    named = {state: store.put(png(10 + number)).id for number, state in enumerate(State)}
    for state, identifier in named.items():
        Path(spool.layout.job(state, f"job-{state}")).write_text(f'{{"image": "{identifier}"}}', encoding="utf-8")
    unreadable = store.put(png(90)).id
    (spool.layout.corrupt / "x.json").write_text(f'{{"image": "{unreadable}"', encoding="utf-8")
    old, young = store.put(png(1)).id, store.put(png(2)).id
    for identifier in (*named.values(), unreadable, old):
        age(store, identifier)
    (store.layout.inputs / "ab").mkdir(exist_ok=True)
    (store.layout.inputs / "ab" / "note.txt").touch()
    assert sweep(store) == 1
    assert not store.has(old)
    assert all(store.has(identifier) for identifier in (*named.values(), unreadable, young))
    assert (store.layout.inputs / "ab" / "note.txt").exists()


def test_a_sweep_is_made_once_in_a_while_over_all_processes(store: InputStore) -> None:
    assert sweep(store) == 0
    identifier = store.put(png()).id
    age(store, identifier)
    assert InputStore(store.layout).sweep() == 0
    assert store.has(identifier)
    assert InputStore(store.layout).sweep(time.time() + SWEEP_SECONDS) == 1


def test_what_is_used_again_just_before_it_would_go_stays(store: InputStore, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier = store.put(png()).id
    age(store, identifier)
    look = InputStore._named

    def used_meanwhile(self: InputStore) -> frozenset[str]:
        found = look(self)
        self.use(identifier)
        return found

    monkeypatch.setattr(InputStore, "_named", used_meanwhile)
    assert sweep(store) == 0
    assert store.has(identifier)


def test_a_job_file_that_cannot_be_read_ends_the_sweep(
    store: InputStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = store.put(png()).id
    age(store, identifier)
    Path(spool.layout.job("pending", "one")).write_text("{}", encoding="utf-8")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "refused")

    monkeypatch.setattr("outputs.inputs.files.read", refuse)
    with pytest.raises(PermissionError):
        sweep(store)
    assert store.has(identifier)


def test_using_and_sweeping_at_once_never_loses_what_is_used(store: InputStore) -> None:
    """Whoever uses a picture either keeps it or is told that it is gone."""
    wrong = []
    for turn in range(40):
        identifier = store.put(png()).id
        age(store, identifier)
        outcome: list[str] = []

        def use(name: str = identifier, told: list[str] = outcome) -> None:
            try:
                store.use(name)
                told.append("kept")
            except InputNotFound:
                told.append("gone")

        thread = threading.Thread(target=use)
        thread.start()
        sweep(store)
        thread.join()
        wrong += [turn] if (outcome == ["kept"]) != store.has(identifier) else []
    assert wrong == []


def test_many_may_store_the_same_picture_at_once(store: InputStore) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.put(png()).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_one_that_is_swept_while_it_is_stored_again_is_stored(
    store: InputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.put(png())
    path = store.layout.input(stored.sha256)
    create = files.create

    def taken_and_gone(*arguments: object, **options: object) -> None:
        try:
            create(*arguments, **options)  # type: ignore[arg-type]
        finally:
            path.unlink()

    monkeypatch.setattr("outputs.inputs.files.create", taken_and_gone)
    store.put(png())
    assert store.read(stored.id) == png()


def test_a_layout_has_its_folder(store: InputStore) -> None:
    assert store.layout.inputs in Layout(store.layout.data).folders(())
