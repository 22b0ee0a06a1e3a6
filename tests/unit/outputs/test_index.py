"""The index of images: pages, totals and search say what the sidecars say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import IndexUnavailable, InvalidRequest
from core.layout import Layout
from jobs import ids
from jobs.spool import Spool
from outputs.index.image_index import ImageIndex
from outputs.index.search_text import fold
from outputs.index.tables import to_image_id, to_number
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from tests.conftest import REPOSITORY
from tests.programs import wait_until
from tests.unit.outputs.images import make_sidecar


@pytest.fixture
def store(spool: Spool) -> ImageStore:
    """A store that tells its index."""
    return ImageStore(spool.layout)


@pytest.fixture
def index(store: ImageStore) -> ImageIndex:
    """A built index that is told of every change."""
    index = ImageIndex(store)
    index.repair()
    store._observer = index
    return index


Add = Callable[..., Sidecar]


@pytest.fixture
def add(store: ImageStore, spool: Spool) -> Add:
    """Commit an image with a prompt, some days ago."""

    def commit(prompt: str = "a castle", model: str = "demo", *, days_ago: float = 0, number: int = 1) -> Sidecar:
        sidecar = make_sidecar(spool.clock.issue(), prompt, model, days_ago=days_ago, number=number)
        store.commit(b"png", sidecar)
        return sidecar

    return commit


def found(index: ImageIndex, search: str = "", model: str | None = None, *, limit: int = 50) -> list[str]:
    """The ids of a page; its total must be theirs."""
    page = index.page(search=search, model=model, limit=limit)
    assert page.total == len(page.images)
    return [image.id for image in page.images]


def test_new_images_come_first_and_deleted_ones_go(index: ImageIndex, store: ImageStore, add: Add) -> None:
    older, newer = add(), add()
    assert found(index) == [newer.id, older.id]
    store.delete(newer.id)
    assert found(index) == [older.id]
    assert not index.repair()


@pytest.mark.parametrize("happens", ["torn", "incomplete", "emptied", "gone"])
@pytest.mark.parametrize("search", ["", "castle"])
def test_what_cannot_be_listed_is_not_counted(
    index: ImageIndex, store: ImageStore, add: Add, happens: str, search: str
) -> None:
    images = [add() for _ in range(5)]
    path = store.sidecar_path(images[2].id)
    good = path.read_bytes()
    torn = {"torn": good[:-20], "incomplete": b'{"prompt": "a castle", "model_id": "demo"}', "emptied": b""}
    index.repair()
    path.write_bytes(torn[happens]) if happens in torn else path.unlink()
    assert len(index.page(search=search).images) == 4
    assert len(found(index, search)) == index.count() == 4
    index.repair()
    index.rebuild()
    assert len(found(index, search)) == index.count() == 4
    assert store.damage.ids() == ([] if happens == "gone" else [images[2].id])
    wait_until(lambda: index.repair() == 0 and not index.needs_repair(), about="the folders to be settled")
    path.write_bytes(good)
    store.check_damaged() if happens != "gone" else index.repair()
    assert found(index, search) == [image.id for image in reversed(images)]


@pytest.mark.parametrize("amount", [0, 1, 7, 8, 29])
@pytest.mark.parametrize("model", [None, "demo"])
@pytest.mark.parametrize("search", ["", "castle", "ca"])
def test_every_page_has_what_belongs_there(
    index: ImageIndex, add: Add, amount: int, model: str | None, search: str
) -> None:
    for n in range(amount):
        add("a castle", "demo", days_ago=(amount - n) // 5, number=n % 8 + 1)
        add("a castle", "far", days_ago=(amount - n) // 5) if n % 3 == 0 else None
    everything = found(index, model=model)
    assert everything == sorted(everything, key=to_number, reverse=True)
    for size in (1, 4, 50):
        for number in range(1, len(everything) // size + 3):
            page = index.page(page=number, limit=size, search=search, model=model)
            start = (number - 1) * size
            assert [image.id for image in page.images] == everything[start : start + size]
            assert page.total == len(everything)
            assert page.has_more == (start + size < len(everything))


@pytest.mark.parametrize(
    ("search", "prompt"),
    [
        ("castle", "A CASTLE"),
        ("astl", "a castle"),
        ("hill castle", "a castle on a hill"),
        ("castle demo", "a castle"),
        ("STRASSE", "eine lange Straße"),
        ("straße", "EINE LANGE STRASSE"),
        ("CAFÉ", "cafe\u0301 at night"),
        ("wide", "\uff37\uff49\uff44\uff45 letters"),
        ("城", "一座城堡"),
        ("城堡", "一座城堡"),
        ("一座城堡", "一座城堡"),
        ("я", "Я люблю"),
        ("100%", "100% pure"),
        ("a_b", "a_b"),
        ('"quoted"', 'the "quoted" word'),
        ("OR", "this OR that"),
        ("NEAR(a", "NEAR(a b)"),
        ("-castle", "no-castle"),
        ("cas*", "cas* literally"),
        ("prompt:x", "a prompt:x here"),
        ("it's", "it's here"),
        ("a\tb", "b a"),
        ("🏰", "a 🏰 here"),
    ],
)
def test_search_finds(index: ImageIndex, add: Add, search: str, prompt: str) -> None:
    image = add(prompt)
    assert found(index, search) == [image.id]


@pytest.mark.parametrize(
    "search",
    ["house", "castle house", "c%e", "c_stle", "cas*", "zz", "%", "_", '"', "'", "castle NOT x", "\0", "\ud800"],
)
def test_search_does_not_find(index: ImageIndex, add: Add, search: str) -> None:
    add("a castle")
    expected = [] if fold(search) else found(index)
    assert found(index, search) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_search_means_what_it_says(index: ImageIndex, add: Add, data: st.DataObject) -> None:
    alphabet = st.sampled_from('abAB ßéё城"%_*\\\n')
    prompt = data.draw(st.text(alphabet, max_size=12))
    search = data.draw(st.text(alphabet, max_size=6))
    image = add(prompt, "demo")
    hits = index.page(search=search, limit=1000).images
    expected = all(word in fold(prompt) or word in "demo" for word in fold(search).split())
    assert (image.id in {hit.id for hit in hits}) == expected


FILTERS = {("", None), ("castle", None), ("sea castle", "demo"), ("ab", None), ("", "other"), ("se", "demo")}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cursor_leads_to_every_image_once_whatever_comes_and_goes(
    index: ImageIndex, store: ImageStore, add: Add, data: st.DataObject
) -> None:
    for image_id in found(index, limit=1000):  # of the example before
        store.delete(image_id)

    def more(most: int) -> None:
        for prompt, model in data.draw(st.lists(st.tuples(prompts, models), max_size=most)):
            add(prompt, model, days_ago=data.draw(st.sampled_from([0, 0, 1, 40])), number=data.draw(st.integers(1, 8)))

    prompts, models = st.sampled_from(["castle at sea", "a SEA castle", "ab"]), st.sampled_from(["demo", "other"])
    more(14)
    search, model = data.draw(st.sampled_from(sorted(FILTERS, key=str)))
    limit = data.draw(st.integers(1, 4))
    there = found(index, search, model, limit=1000)
    expected, seen = set(there), list[str]()
    page = index.page(search=search, model=model, limit=limit)
    while page.images:
        seen += [image.id for image in page.images]
        for image_id in data.draw(st.sets(st.sampled_from(there), max_size=3)) if there else ():
            store.delete(image_id)
            there.remove(image_id)
            expected -= set() if image_id in seen else {image_id}
        if data.draw(st.booleans()):
            more(2)
        if page.next_cursor is None:
            break
        page = index.page(search=search, model=model, limit=limit, cursor=page.next_cursor)
        assert len(page.images) == limit or page.next_cursor is None
        assert page.total == len(found(index, search, model, limit=1000))
    assert expected <= set(seen)
    assert seen == sorted(set(seen), key=to_number, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "img_" + "0" * 32, "img_" + "f" * 32 + "_1", "img_" + "0" * 32 + "_9", ""])
def test_a_cursor_that_no_page_gave_is_refused(index: ImageIndex, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="next_cursor"):
        index.page(cursor=cursor)


def test_a_cursor_beside_a_page_is_refused(index: ImageIndex) -> None:
    with pytest.raises(InvalidRequest, match="cursor and page"):
        index.page(page=2, cursor="img_" + "0" * 32 + "_1")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_totals_follow_what_comes_and_goes(index: ImageIndex, store: ImageStore, add: Add, data: st.DataObject) -> None:
    for image_id in found(index, limit=1000):  # of the example before
        store.delete(image_id)
    there: list[Sidecar] = []
    prompts = st.sampled_from(["castle at sea", "a SEA castle", "boat", "ab"])
    for step in data.draw(st.lists(st.sampled_from(["add", "delete", "ask"]), max_size=12)):
        if step == "add":
            there.append(add(data.draw(prompts), data.draw(st.sampled_from(["demo", "other"]))))
        elif step == "delete" and there:
            store.delete(there.pop(data.draw(st.integers(0, len(there) - 1))).id)
        for search in ("castle", "sea castle", "ab", "boat"):
            for model in (None, "demo"):
                wanted = {
                    sidecar.id
                    for sidecar in there
                    if all(word in f"{sidecar.prompt} {sidecar.model_id}".lower() for word in search.split())
                    and model in (None, sidecar.model_id)
                }
                assert set(found(index, search, model, limit=1000)) == wanted


def test_totals_are_counted_anew_after_more_changes_than_are_kept(index: ImageIndex, add: Add) -> None:
    for _ in range(3):
        add("a castle")
    assert index.page(search="castle").total == 3
    with index.file.write() as database:  # other processes, busy for long
        for k in range(1, 1202):
            database.execute("INSERT INTO image VALUES (?, zeroblob(16), 'demo', 0)", (k,))
            database.execute("INSERT INTO body VALUES (?, 'demo castle')", (k,))
        database.execute("DELETE FROM image WHERE k <= 1000")
    assert index.page(search="castle").total == 204
    with index.file.read() as database:
        assert database.execute("SELECT count(*) FROM change").fetchone() == (1000,)


def test_the_model_filter_is_exact(index: ImageIndex, add: Add) -> None:
    one, ten = add("x flux-1 y", "flux-1"), add("flux-1", "flux-10")
    add("flux-1", "Flux-1")
    assert found(index, model="flux-1") == found(index, "flux", "flux-1") == [one.id]
    assert found(index, "1", "flux-10") == [ten.id]
    assert found(index, "flux", "") == found(index, model="none") == []


def test_too_many_words_are_refused(index: ImageIndex) -> None:
    with pytest.raises(InvalidRequest, match="at most 32"):
        index.page(search=" ".join(f"w{n}" for n in range(33)))
    index.page(search="w" * 8000)


def test_an_absurd_page_is_empty(index: ImageIndex, add: Add) -> None:
    add()
    for search in ("", "castle", "ca"):
        page = index.page(page=10**30, search=search)
        assert (page.images, page.total, page.has_more) == ([], 1, False)


def test_what_a_person_does_by_hand_is_found(index: ImageIndex, store: ImageStore, add: Add) -> None:
    images = [add(f"prompt {n}", days_ago=n) for n in range(4)]
    store.sidecar_path(images[0].id).unlink()
    shutil.rmtree(store.path(images[1].id).parent)
    copied = make_sidecar(images[2].order, "by hand", "demo", number=5)
    store._observer = None
    store.commit(b"png", copied)
    misplaced = store.path(images[3].id).parent / f"{make_sidecar(images[0].order, 'x', 'demo', number=7).id}.json"
    misplaced.write_bytes(store.sidecar_path(images[3].id).read_bytes())
    (store.layout.outputs / "2026" / "99").mkdir(parents=True, exist_ok=True)
    (store.layout.outputs / "2026" / "99" / "01").mkdir()
    (store.layout.outputs / "2026" / "notes.txt").write_text("hello")
    assert index.needs_repair()
    assert index.repair() == 3
    assert found(index) == sorted([images[2].id, images[3].id, copied.id], key=to_number, reverse=True)
    assert found(index, "hand") == [copied.id]


@pytest.mark.parametrize("day", ["9999/12/31", "2109/05/15", "0001/01/01", "1969/12/31", "2026/02/30"])
def test_folders_of_days_beyond_the_calendar_are_left_alone(
    index: ImageIndex, store: ImageStore, add: Add, day: str
) -> None:
    image = add()
    (store.layout.outputs / day).mkdir(parents=True)
    index.repair()
    index.rebuild()
    assert found(index) == [image.id]
    with index.file.write() as database:  # as an older program may have left it
        database.execute("INSERT OR REPLACE INTO folder VALUES (?, 1)", (day,))
    index.repair()
    assert found(index) == [image.id]


def test_an_unreadable_sidecar_is_no_image(index: ImageIndex, store: ImageStore, add: Add) -> None:
    kept, lost = add(), add()
    store.sidecar_path(lost.id).write_text('{"model_id": "demo"')
    index.rebuild()
    assert found(index) == [kept.id]


def test_search_is_complete_before_the_full_text_index_is(
    index: ImageIndex, store: ImageStore, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [add(f"castle {n}") for n in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr(ImageIndex, "finish", lambda self: None)
        index.rebuild()
    assert index.needs_repair()
    assert found(index, "castle") == [image.id for image in reversed(images)]
    store.delete(images[2].id)
    late = add("castle late")
    assert len(found(index, "castle")) == 5
    index.repair()
    store.delete(images[1].id)
    assert found(index, "castle") == [late.id, images[4].id, images[3].id, images[0].id]
    with index.file.write() as database:
        database.execute("INSERT INTO fts (fts) VALUES ('integrity-check')")


def test_a_deleted_and_damaged_index_is_rebuilt(index: ImageIndex, store: ImageStore, add: Add) -> None:
    images = [add(f"castle {n}", days_ago=n) for n in range(10)]
    index.file.path.resolve().write_bytes(os.urandom(20000))
    other = ImageIndex(store)
    with pytest.raises(IndexUnavailable):
        other.page()
    other.repair()
    assert found(other, "castle") == found(index) == [image.id for image in images]


def test_rows_are_numbered_by_time(spool: Spool) -> None:
    names = [ids.image_id(spool.clock.issue(), number) for number in (1, 8)]
    names += [ids.image_id(spool.clock.issue(), 1)]
    assert sorted(names, key=to_number) == names
    assert [to_image_id(to_number(name), bytes.fromhex(name[4:36])) for name in names] == names
    with pytest.raises(ValueError, match="calendar"):
        to_number("img_" + "f" * 32 + "_1")


def test_an_unbuilt_index_never_hinders_a_commit(spool: Spool, tmp_path: Path) -> None:
    store = ImageStore(spool.layout)
    index = ImageIndex(ImageStore(Layout(tmp_path / "no" / "such")))
    store._observer = index
    sidecar = make_sidecar(spool.clock.issue(), "x", "demo")
    store.commit(b"png", sidecar)
    assert store.is_committed(sidecar.id) is False  # its bytes are not those of the sidecar
    assert store.sidecar(sidecar.id) == sidecar


def test_a_full_disk_costs_only_the_index(index: ImageIndex, store: ImageStore, add: Add) -> None:
    """No file of the index may grow, as if the disk were full; images are committed, and found later."""
    add()
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.unit.outputs.images import make_sidecar\n"
        "from tests.indexes import data_at\n"
        "data = data_at(Path(sys.argv[1])); index = data.images; clock, store = data.spool.clock, data.store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "for _ in range(3): store.commit(b'png', make_sidecar(clock.issue(), 'late castle', 'demo'))\n"
        "print(index.page().total)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(store.layout.outputs.parent)]
    child = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert child.stdout.strip() == "1"
    index.repair()
    assert len(found(index, "castle")) == 4
