"""Short ids: any beginning or end that only one has, `@last`, and sentences for all the others."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.command_line import main
from client.errors import NotFound
from client.exit_codes import Exit
from client.short_ids import _JOB, Ambiguous, _only, short
from tests.unit.client.conftest import ORDERS, add_job, gallery_answer, image_id, job_answer, jobs_answer
from tests.unit.client.contract_server import ContractServer

FIRST, SECOND = ORDERS[1], ORDERS[2]


@pytest.fixture
def known(studio: ContractServer) -> ContractServer:
    """A server with two jobs, a job with a name of its own, and their images."""
    studio.answers["GET /api/jobs"] = (200, jobs_answer((SECOND, "a tree"), (FIRST, "a house"), ("castle", "a castle")))
    images = (image_id(SECOND, 1), "a tree"), (image_id(FIRST, 2), "a house"), (image_id(FIRST, 1), "a house")
    studio.answers["GET /api/gallery"] = (200, gallery_answer(*images))
    for job_id in (FIRST, SECOND, "castle"):
        studio.answers[f"GET /api/status/{job_id}"] = (200, job_answer(job_id, images=2))
        studio.answers[f"POST /api/jobs/{job_id}/cancel"] = (200, {"cancelled": True, "message": f"{job_id} is over"})
    for identifier, _ in images:
        about = {"model_id": "demo", "prompt": "a house", "id": identifier}
        studio.answers[f"GET /api/image/{identifier}/metadata"] = (200, about)
        studio.answers[f"DELETE /api/image/{identifier}"] = (200, {"status": "success"})
    return studio


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (FIRST, FIRST),
        (short(FIRST), FIRST),
        (FIRST[-6:], FIRST),
        (FIRST[:14], FIRST),
        ("castle", "castle"),
        ("cast", "castle"),
    ],
)
def test_a_job_is_found(known: ContractServer, text: str, job_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    # The last four digits of both are the same, but not the last six.
    known.answers["GET /api/jobs"] = (200, jobs_answer((FIRST, "a house"), ("castle", "a castle")))
    assert main(["cancel", text]) == Exit.DONE
    assert capsys.readouterr().out == f"{job_id} is over\n"


def test_a_whole_id_is_not_looked_up(known: ContractServer) -> None:
    assert main(["cancel", FIRST]) == Exit.DONE
    assert known.seen == [f"POST /api/jobs/{FIRST}/cancel"]


@pytest.mark.parametrize("text", ["0199c3f2", "3c4d", "0199"])
def test_what_may_be_several_is_not_guessed(
    known: ContractServer, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cancel", text]) == Exit.NOT_FOUND
    said = capsys.readouterr().err
    assert "give more of the id" in said
    assert "(a house)" in said
    assert "(a tree)" in said
    assert not any(seen.startswith("POST") for seen in known.seen)


@pytest.mark.parametrize(("text", "sentence"), [("ffffffff", "begins or ends with"), ("ab", "at least 4 characters")])
def test_what_is_none(known: ContractServer, text: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", text]) == Exit.NOT_FOUND
    assert sentence in capsys.readouterr().err


def test_an_image_by_its_end(known: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delete", short(image_id(FIRST, 2))]) == Exit.DONE
    assert f"DELETE /api/image/{image_id(FIRST, 2)}" in known.seen
    assert main(["show", short(image_id(SECOND, 1)), short(FIRST), "castle"]) == Exit.DONE
    shown = capsys.readouterr().out
    assert image_id(SECOND, 1) in shown
    assert FIRST in shown


def test_a_job_that_is_called_like_an_image_is_a_job(known: ContractServer) -> None:
    known.answers["GET /api/status/deed_1"] = (200, job_answer("deed_1"))
    assert main(["show", "deed_1"]) == Exit.DONE
    assert not any("gallery" in seen for seen in known.seen)


def test_the_last_job_is_the_one_that_was_submitted_from_here(
    known: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cancel", "@last"]) == Exit.NOT_FOUND
    assert "no job was submitted" in capsys.readouterr().err
    add_job(known, FIRST)
    assert main(["a house", "--detach"]) == Exit.DONE
    assert main(["cancel", "@last"]) == Exit.DONE
    known.answers[f"POST /api/jobs/{FIRST}/retry"] = (200, {"job_id": SECOND, "status": "pending", "num_images": 1})
    assert main(["retry", "@last"]) == Exit.DONE
    assert main(["cancel", "@last"]) == Exit.DONE
    assert [seen.split("/")[3] for seen in known.seen if seen.endswith("cancel")] == [FIRST, SECOND]


def test_several_ids_all_have_their_turn(known: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", FIRST, "ffffffff", "castle"]) == Exit.NOT_FOUND
    seen = capsys.readouterr()
    assert seen.out == f"{FIRST} is over\ncastle is over\n"
    assert "1 of 3 failed" in seen.err


uuids = st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number, version=4)))


@given(st.lists(uuids, min_size=1, max_size=30, unique=True), st.data())
def test_a_short_form_means_the_only_one_that_has_it(ids: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(ids))
    length = data.draw(st.integers(4, 36))
    text = data.draw(st.sampled_from([chosen[:length], chosen[-length:]]))
    alike = [known for known in ids if known.startswith(text) or known.endswith(text)]
    try:
        found = _only(text, ((known, "prompt") for known in ids), "job", _JOB)
    except Ambiguous:
        assert len(alike) > 1
    except NotFound:
        raise AssertionError("it is there") from None
    else:
        assert found in alike
        assert len(alike) == 1 or len(text) >= 8
