"""Query parameters become the struct that declares them, or a sentence that names the wrong one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import pytest
from falcon import Request
from falcon.testing import create_environ
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from core.errors import InvalidRequest
from http_api.server.query import NoParameters, QueryDecoder, Text, capped


class Word(StrEnum):
    FAILED = "failed"
    PENDING = "pending"


class Sample(Struct, frozen=True, kw_only=True):
    """One field of each kind."""

    page: Annotated[int, Meta(ge=1, le=1000)] = 1
    limit: Annotated[int, capped(1, 50, "At most 50")] = 20
    detailed: bool = False
    status: Word | None = None
    search: Annotated[Text, Meta(description="Words")] = ""
    model: Annotated[Text | None, Meta(description="A key")] = None


def decode(query: str, *, is_reading: bool = True) -> Sample:
    params = Request(create_environ(query_string=query)).params
    return QueryDecoder(Sample).decode(params, is_reading=is_reading)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Sample()),
        ("page=7&limit=9", Sample(page=7, limit=9)),
        ("limit=500", Sample(limit=50)),
        ("detailed=TRUE", Sample(detailed=True)),
        ("detailed=0", Sample()),
        ("status=failed", Sample(status=Word.FAILED)),
        ("search=+a+b+&model=+", Sample(search="a b")),
        ("model=demo", Sample(model="demo")),
        ("search=" + "x" * 1000, Sample(search="x" * 1000)),
        ("_=1&t=2&retry=3&v=4&_=5", Sample()),
    ],
)
def test_parameters_become_the_struct(query: str, expected: Sample) -> None:
    assert decode(query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("page=0", "page is '0'; it must be an integer from 1 to 1000."),
        ("page=1001", "page is '1001'; it must be an integer from 1 to 1000."),
        ("page=1_0", "page is '1_0'; it must be an integer from 1 to 1000."),
        ("page=", "page is ''; it must be an integer from 1 to 1000."),
        ("page=%2B1", "page is '+1'; it must be an integer from 1 to 1000."),
        ("limit=0", "limit is '0'; it must be an integer from 1 to 50."),
        ("limit=9999999999", "limit is '9999999999'; it must be an integer from 1 to 50."),
        ("detailed=yes", "detailed is 'yes'; it must be true or false."),
        ("detailed=", "detailed is ''; it must be true or false."),
        ("status=done", "status is 'done'; it must be one of failed, pending."),
        ("search=" + "x" * 1001, "search has 1001 characters; at most 1000 are allowed."),
        ("page=1&page=2", "page is given 2 times; give it once."),
        ("pgae=1", "'pgae' is not a known parameter; known here: page, limit, detailed, status, search, model."),
    ],
)
def test_what_is_wrong_is_said_with_the_value(query: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode(query)
    assert raised.value.message == message
    assert raised.value.field == query.partition("=")[0]


@pytest.mark.parametrize("name", ["_", "t", "retry", "v"])
def test_what_keeps_caches_away_means_nothing_on_reading_only(name: str) -> None:
    decode(f"{name}=1")
    with pytest.raises(InvalidRequest, match="not a known parameter"):
        decode(f"{name}=1", is_reading=False)


def test_where_there_are_no_parameters_none_is_known() -> None:
    with pytest.raises(InvalidRequest, match="known here: none"):
        QueryDecoder(NoParameters).decode({"page": "1"}, is_reading=True)


@given(st.integers(-(10**12), 10**12))
def test_an_integer_is_itself_its_cap_or_refused(number: int) -> None:
    try:
        assert decode(f"limit={number}").limit == min(number, 50)
    except InvalidRequest:
        assert number < 1 or number > 999_999_999


def test_a_field_that_no_text_can_become_is_refused_at_the_start() -> None:
    class Wrong(Struct):
        names: list[str] = []

    with pytest.raises(TypeError, match="names"):
        QueryDecoder(Wrong)
