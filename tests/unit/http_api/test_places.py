"""Places for requests that last: never more than there are, and never more than half for one client."""

from __future__ import annotations

import resource
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_api.server import places
from http_api.server.places import Place, Places


@given(size=st.integers(1, 12), steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=80))
def test_places_against_a_model(size: int, steps: list[tuple[str, bool]]) -> None:
    kind = Places(lambda: size)
    held: list[tuple[str, Place]] = []
    for client, is_taking in steps:
        if is_taking:
            taken = Counter(holder for holder, _ in held)
            is_free = taken.total() < size and taken[client] < max(1, size // 2)
            place = kind.take(client)
            assert (place is not None) == is_free
            held += [(client, place)] if place is not None else []
        elif held:
            held.pop()[1].free()
        assert kind.taken == len(held)


def test_a_place_is_given_back_once_however_it_is_let_go() -> None:
    kind = Places(lambda: 10)
    other, place = kind.take("a"), kind.take("b")
    assert other is not None
    assert place is not None
    with place:
        place.free()
    place.free()
    assert kind.taken == 1
    place = kind.take("b")
    assert kind.taken == 2
    del place  # an answer that was never begun
    assert kind.taken == 1


@pytest.mark.parametrize(
    ("soft", "expected"), [(256, 106), (1024, 746), (20_000, 5000), (resource.RLIM_INFINITY, 5000)]
)
def test_there_are_no_more_connections_than_files_may_be_open(
    monkeypatch: pytest.MonkeyPatch, soft: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
    assert places.connections() == expected
