"""Archives: whole, as long as was said before, and never much of them in memory."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.spool import Spool
from outputs import archive
from outputs.archive import Entry
from outputs.errors import DamagedImage, ImageNotFound
from outputs.store import ImageStore
from tests.sidecars import sidecar

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\:"), min_size=1, max_size=30)


def written(files: list[Entry], contents: dict[str, bytes]) -> bytes:
    return b"".join(archive.stream(files, lambda image: io.BufferedReader(io.BytesIO(contents[image]))))


@settings(max_examples=50)
@given(
    st.dictionaries(NAMES, st.binary(max_size=300), max_size=6),
    st.sampled_from([(1 << 31) - 1, 700, 400, 310]),
)
def test_an_archive_is_as_long_as_was_said(contents: dict[str, bytes], limit: int) -> None:
    """Also where it is so large that offsets need eight bytes; the format's limit is made small for that."""
    files = [
        Entry(name, f"{name}.png", len(data), datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC))
        for name, data in contents.items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", limit)
        content = written(files, contents)
        assert archive.size_of(files) == len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None
        assert {info.filename: found.read(info) for info in found.infolist()} == {
            f"{name}.png": data for name, data in contents.items()
        }


def test_little_of_a_large_image_is_in_memory_at_once() -> None:
    size = 5 << 20
    files = [Entry("a", "a.png", size, datetime(2026, 11, 22, tzinfo=UTC))]
    chunks = archive.stream(files, lambda _: io.BufferedReader(io.BytesIO(bytes(size))))
    assert max(map(len, chunks)) < 1 << 18


@pytest.fixture
def store(spool: Spool) -> ImageStore:
    return ImageStore(spool.layout)


def test_names_tell_the_day_and_the_words_and_tell_images_apart(store: ImageStore) -> None:
    prompts = ["A red house, and a (green) tree at sunset", "../../etc/passwd", "赤い家 " * 30, "..."]
    orders = [f"019a2b3c-0000-7000-8000-{number:04x}00000000" for number in range(4)]
    images = [sidecar(order, png=b"png", prompt=prompt) for order, prompt in zip(orders, prompts, strict=True)]
    same_end = sidecar("019a2b3d-0000-7000-8000-000000000000", png=b"png", prompt=prompts[0])
    for image in [*images, same_end]:
        store.commit(b"png", image)
    names = [entry.name for entry in archive.entries(store, [image.id for image in [*images, *images, same_end]])]
    assert names[0] == "2025-10-28-a-red-house-and-a-green-00000000_1.png"
    assert names[1] == "2025-10-28-etc-passwd-00000000_1.png"
    assert len(set(names)) == 5
    assert all("/" not in name and len(name) < 80 for name in names)


def test_an_image_that_is_missing_or_has_lost_its_png_is_told_before(store: ImageStore) -> None:
    image = sidecar("019a2b3c-0000-7000-8000-000000000000", png=b"png")
    store.commit(b"png", image)
    with pytest.raises(ImageNotFound, match="img_nix"):
        archive.entries(store, [image.id, "img_nix"])
    store.path(image.id).unlink()
    with pytest.raises(DamagedImage):
        archive.entries(store, [image.id])
