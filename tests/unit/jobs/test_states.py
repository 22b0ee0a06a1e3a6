"""What is declared of a state, once, and what follows from it elsewhere."""

from __future__ import annotations

import typing

import pytest

from http_api.api.answers import Status
from http_api.api.jobs import STATES_SHOWN
from jobs.index.queries import Counts, to_counts
from jobs.schema import ACTIVE_STATES, FINAL_STATES, Job, State


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_shown_by_a_word_that_old_clients_know(state: State) -> None:
    assert state.shown_as in typing.get_args(typing.get_args(Status)[0])
    assert state in STATES_SHOWN[State(state.shown_as)]
    assert state in STATES_SHOWN[state]
    assert State(state.shown_as).is_final == state.is_final


def test_every_final_state_is_an_outcome_and_no_other() -> None:
    words, _ = typing.get_args(typing.get_type_hints(Job)["outcome"])
    assert set(typing.get_args(words)) == {state.value for state in FINAL_STATES}
    assert {*ACTIVE_STATES, *FINAL_STATES} == set(State)


def test_every_state_is_counted_once() -> None:
    counts = to_counts((number, 10**number) for number in range(len(State)))
    shown = {name for name in Counts.__struct_fields__ if name != "total"}
    assert counts.total == sum(10**number for number in range(len(State)))
    assert sum(getattr(counts, name) for name in shown) == counts.total
