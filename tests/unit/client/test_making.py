"""Making pictures: where prompts come from, saving each picture as it is done, likeness, batches, failures."""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client import CyberImageClient, job_wait
from client.command_line import main
from client.exit_codes import Exit
from tests.unit.client.conftest import ORDERS, Terminals, add_job, image_id, job_answer, png
from tests.unit.client.contract_server import ContractServer

Bodies = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next look."""
    monkeypatch.setattr(job_wait, "POLL", 0.001)
    monkeypatch.setattr(job_wait, "_BREATH", 0.001)


@pytest.fixture
def bodies(studio: ContractServer) -> Bodies:
    """What was submitted; each submission is another job, which has ended."""
    seen: Bodies = []

    def take(body: bytes) -> tuple[int, object]:
        seen.append(json.loads(body))
        add = studio.answers["POST /api/generate"]
        number = len(seen)
        seed = {"effective_settings": {"seed": 100 * number}}
        studio.answers[f"GET /api/status/{ORDERS[number]}"] = (200, job_answer(ORDERS[number]) | seed)
        studio.answers[f"GET /api/get_image/{image_id(ORDERS[number], 1)}"] = (200, png())
        studio.answers["POST /api/generate"] = add
        return 200, {"job_id": ORDERS[number], "status": "pending", "num_images": 1}

    studio.answers["POST /api/generate"] = take
    return seen


def stdin(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def in_turn(*answers: object) -> Callable[[bytes], object]:
    """Each answer once, the last one for ever."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))
    return lambda body: (200, next(left))


@pytest.mark.parametrize(
    "content",
    [
        b"a red house\n",
        b"a red\r\n  house \n\n",
        b"\xef\xbb\xbfa red house",
        "a red house".encode("utf-16"),
    ],
)
@pytest.mark.parametrize("words", [["-"], ["generate", "-"]])
def test_a_prompt_from_standard_input(
    bodies: Bodies, content: bytes, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(content, monkeypatch)
    assert main([*words, "--detach"]) == Exit.DONE
    assert [body["prompt"] for body in bodies] == ["a red house"]


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00", b"caf\xe9"])
def test_standard_input_that_is_no_prompt(
    studio: ContractServer, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(content, monkeypatch)
    assert main(["-"]) == Exit.USAGE
    assert "Standard input" in capsys.readouterr().err
    assert studio.seen == []


@pytest.mark.parametrize("source", ["prompts.txt", "-"])
def test_a_job_for_each_line(
    bodies: Bodies, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"a red house\n\n  a tree  \r\na b c"
    Path("prompts.txt").write_bytes(content)
    stdin(content, monkeypatch)
    assert main(["--prompts", source, "-o", "{n}.png", "--steps", "4"]) == Exit.DONE
    assert [body["prompt"] for body in bodies] == ["a red house", "a tree", "a b c"]
    assert all(body["settings"] == {"num_inference_steps": 4} for body in bodies)
    assert capsys.readouterr().out.split() == ["1.png", "2.png", "3.png"]
    assert main(["--prompts", source, "-o", "{n}.png"]) == Exit.USAGE


def test_a_batch_that_is_refused_in_the_middle_is_made_as_far_as_it_goes(
    bodies: Bodies, studio: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    take = studio.answers["POST /api/generate"]
    studio.answers["POST /api/generate"] = lambda body: (
        take(body) if len(bodies) < 2 else (429, {"status": "error", "message": "Ten in an hour."})
    )
    Path("prompts.txt").write_text("one\ntwo\nthree\nfour\n", "utf-8")
    assert main(["--prompts", "prompts.txt", "-o", "new/", "--json"]) == Exit.UNAVAILABLE
    answer = json.loads(capsys.readouterr().out)
    assert answer["message"] == "2 of 4 prompts were sent, and not the others: Ten in an hour."
    assert len(answer["files"]) == len(list(Path("new").iterdir())) == 2


def test_a_batch_goes_on_after_a_job_that_failed(
    bodies: Bodies, studio: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("prompts.txt").write_text("one\ntwo\nthree\n", "utf-8")
    take = studio.answers["POST /api/generate"]

    def fail_the_second(body: bytes) -> object:
        answer = take(body)
        if len(bodies) == 2:
            failed = job_answer(ORDERS[2], "failed", images=0, error_message="Out of memory.")
            studio.answers[f"GET /api/status/{ORDERS[2]}"] = (200, failed)
        return answer

    studio.answers["POST /api/generate"] = fail_the_second
    assert main(["--prompts", "prompts.txt", "-o", "{n}.png"]) == Exit.JOB_FAILED
    seen = capsys.readouterr()
    assert seen.out.split() == ["1.png", "3.png"]
    assert "Out of memory." in seen.err


def test_each_picture_is_saved_as_soon_as_it_is_done(
    studio: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    there: list[list[str]] = []

    def look(finished: int, status: str = "processing") -> Callable[[bytes], object]:
        def answer(body: bytes) -> object:
            there.append(sorted(path.name for path in Path().iterdir()))
            return 200, job_answer(ORDERS[1], status, images=finished, count=3)

        return answer

    add_job(studio, ORDERS[1], count=3)
    looks = iter([look(0), look(1), look(1), look(3, "completed")])
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = lambda body: next(looks)(body)
    assert main(["a red house", "--images", "3", "-o", "{n}.png"]) == Exit.DONE
    assert there == [[], [], ["1.png"], ["1.png"]]
    assert capsys.readouterr().out.split() == ["1.png", "2.png", "3.png"]
    assert sum("get_image" in seen for seen in studio.seen) == 3


def test_a_failed_job_keeps_what_was_finished(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    add_job(studio, ORDERS[1], count=3)
    failed = job_answer(ORDERS[1], "failed", images=2, count=3, error_message="Out of memory.")
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = (200, failed)
    assert main(["a red house", "--images", "3", "-o", "{n}.png"]) == Exit.JOB_FAILED
    seen = capsys.readouterr()
    assert seen.out.split() == ["1.png", "2.png"]
    assert seen.err.endswith("cyberimage: Out of memory.\n")


@pytest.mark.parametrize("presses", [1, 2])
def test_an_interrupt_cancels_and_keeps_what_was_finished(
    studio: ContractServer, presses: int, capsys: pytest.CaptureFixture[str]
) -> None:
    add_job(studio, ORDERS[1], count=8)
    looks = iter([3, None, 4])

    def look(body: bytes) -> object:
        finished = next(looks)
        if finished is None:
            raise AssertionError("the interrupt comes first")
        return 200, job_answer(ORDERS[1], "processing" if finished == 3 else "failed", images=finished, count=8)

    studio.answers[f"GET /api/status/{ORDERS[1]}"] = look
    studio.answers[f"POST /api/jobs/{ORDERS[1]}/cancel"] = (200, {"cancelled": False, "message": "stops"})
    real, left = time.sleep, [presses]

    def press(seconds: float) -> None:
        if left[0]:
            left[0] -= 1
            next(looks)
            raise KeyboardInterrupt
        real(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.job_wait.time.sleep", press)
        if presses == 2:
            patch.setattr("client.commands.making.Making._cancel", lambda *_: press(0))
            looks = iter([3, None, None])
        assert main(["a red house", "--images", "8", "-o", "{n}.png"]) == Exit.INTERRUPTED
    saved = 4 if presses == 1 else 3
    seen = capsys.readouterr()
    assert seen.out.split() == [f"{n}.png" for n in range(1, saved + 1)]
    assert f"Interrupted: {saved} of 8 pictures are saved." in seen.err
    assert all(Path(f"{n}.png").read_bytes() == png() for n in range(1, saved + 1))


def test_an_interrupted_wait_leaves_the_job(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    add_job(studio, ORDERS[1], count=2)
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = (200, job_answer(ORDERS[1], "processing", images=1, count=2))

    def press(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.job_wait.time.sleep", press)
        assert main(["wait", ORDERS[1], "-o", "{n}.png"]) == Exit.INTERRUPTED
    assert "goes on at the server" in capsys.readouterr().err
    assert not any("cancel" in seen for seen in studio.seen)
    assert Path("1.png").exists()


def test_detach_leaves_the_job(bodies: Bodies, studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a red house", "-d"]) == Exit.DONE
    assert capsys.readouterr().out == f"{ORDERS[1]}\n"
    assert not any("status" in seen for seen in studio.seen)


IMAGE = image_id(ORDERS[5], 2)
MADE = {"num_images": 4, "num_inference_steps": 9, "height": 64, "width": 32, "seed": 5}
ABOUT = {"id": IMAGE, "model_id": "other", "prompt": "a tree", "negative_prompt": None, "settings": MADE, "seed": 6}


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], {}),
        (["--same-seed"], {"seed": 6}),
        (["--steps", "20", "--seed", "1"], {"num_inference_steps": 20, "seed": 1}),
        (["--images", "3"], {"num_images": 3}),
    ],
)
def test_like_an_image(bodies: Bodies, studio: ContractServer, options: list[str], changes: dict[str, int]) -> None:
    studio.answers[f"GET /api/image/{IMAGE}/metadata"] = (200, ABOUT | {"requested_negative_prompt": "rain"})
    assert main(["--like", IMAGE, *options]) == Exit.DONE
    settings = {"num_inference_steps": 9, "height": 64, "width": 32} | changes
    assert bodies == [{"model_id": "other", "prompt": "a tree", "negative_prompt": "rain", "settings": settings}]


def test_like_a_job_with_other_words_and_model(bodies: Bodies, studio: ContractServer) -> None:
    about = job_answer(ORDERS[5]) | {"effective_settings": MADE, "prompt": "a tree", "model_id": "other"}
    studio.answers[f"GET /api/status/{ORDERS[5]}"] = (200, about)
    assert main(["a house", "--like", ORDERS[5], "--model", "demo", "--same-seed", "--detach"]) == Exit.DONE
    settings = {"num_inference_steps": 9, "height": 64, "width": 32, "seed": 5}
    assert bodies == [{"model_id": "demo", "prompt": "a house", "settings": settings}]


def test_like_nothing(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--like", "@last"]) == Exit.NOT_FOUND
    assert "@last" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_shows_how_far_it_is(studio: ContractServer, terminal: Terminals, columns: int) -> None:
    add_job(studio, ORDERS[1], count=2)
    waiting = job_answer(ORDERS[1], "pending", images=0, count=2, queue_position=3)
    running = job_answer(ORDERS[1], "processing", images=1, count=2, eta_seconds=75)
    done = job_answer(ORDERS[1], images=2, count=2)
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = in_turn(waiting, running, done)
    with terminal(columns) as screen:
        assert main(["a red house", "--images", "2", "-o", "{n}.png"]) == Exit.DONE
    shown = screen.text
    assert "waiting, 3 before it" in shown
    assert "image 2 of 2" in shown
    assert ("step 2/4" in shown) is (columns > 50)
    assert ("1 min 15 s left" in shown) is (columns > 75)
    assert shown.endswith("1.png\n2.png\n")


def test_words_that_are_added_are_told(
    bodies: Bodies, studio: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.answers["POST /api/enrich"] = lambda body: (
        200,
        {"original_prompt": "x", "enriched_prompt": json.loads(body)["prompt"] + " at dawn", "style": "anime"},
    )
    Path("prompts.txt").write_text("one\ntwo\n", "utf-8")
    assert main(["--prompts", "prompts.txt", "--enrich", "anime", "--detach"]) == Exit.DONE
    assert [body["prompt"] for body in bodies] == ["one at dawn", "two at dawn"]
    assert capsys.readouterr().err == "prompt: one at dawn\nprompt: two at dawn\n"
    assert main(["enrich", "a", "house"]) == Exit.DONE
    assert capsys.readouterr().out == "a house at dawn\n"


def test_an_interrupt_while_a_batch_is_sent_cancels_what_was_sent(
    bodies: Bodies, studio: ContractServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = CyberImageClient.submit

    def press_at_the_third(client: CyberImageClient, request: bytes) -> object:
        if len(bodies) == 2:
            raise KeyboardInterrupt
        return submit(client, request)

    for order in ORDERS[1:3]:
        studio.answers[f"POST /api/jobs/{order}/cancel"] = (200, {"cancelled": True})
    monkeypatch.setattr(CyberImageClient, "submit", press_at_the_third)
    Path("prompts.txt").write_text("one\ntwo\nthree\nfour\n", "utf-8")
    assert main(["--prompts", "prompts.txt"]) == Exit.INTERRUPTED
    assert [seen.split("/")[3] for seen in studio.seen if seen.endswith("cancel")] == [ORDERS[2], ORDERS[1]]


def test_a_job_that_cannot_be_cancelled_is_named(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(seconds: float) -> None:
        raise KeyboardInterrupt

    studio.answers[f"GET /api/status/{ORDERS[0]}"] = (200, job_answer(ORDERS[0], "processing", images=0))
    studio.answers[f"POST /api/jobs/{ORDERS[0]}/cancel"] = (409, {"status": "error", "message": "It has ended."})
    monkeypatch.setattr("client.job_wait.time.sleep", press)
    assert main(["a red house"]) == Exit.INTERRUPTED
    assert f"The job {ORDERS[0]} was not cancelled: It has ended." in capsys.readouterr().err


def test_several_jobs_are_waited_for(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    for order in ORDERS[1:3]:
        add_job(studio, order, count=2)
    assert main(["wait", *ORDERS[1:3], "-o", "house.png", "--json"]) == Exit.DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["files"] == [f"house-{n}.png" for n in range(1, 5)]
    assert [result["job"]["id"] for result in answer["results"]] == ORDERS[1:3]


def test_labels_are_sent(bodies: Bodies) -> None:
    assert main(["a house", "--label", "sea", "--label", "red one", "--detach"]) == Exit.DONE
    assert bodies[0]["labels"] == ["sea", "red one"]


def test_warnings_are_told(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    accepted = {"job_id": ORDERS[0], "status": "pending", "num_images": 1, "warnings": ["'by the sea' is not read."]}
    studio.answers["POST /api/generate"] = (200, accepted)
    assert main(["a red house by the sea", "--detach"]) == Exit.DONE
    assert capsys.readouterr().err == "note: 'by the sea' is not read.\n"


def test_a_server_that_goes_away_for_a_moment_loses_no_picture(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("client.transport._PAUSES", ())
    add_job(studio, ORDERS[1], count=2)
    looks = [job_answer(ORDERS[1], "processing", images=1, count=2), job_answer(ORDERS[1], images=2, count=2)]
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = in_turn(*looks)
    answers = iter([(503, {"message": "It restarts."}), (200, png())])
    studio.answers[f"GET /api/get_image/{image_id(ORDERS[1], 1)}"] = lambda body: next(answers)
    assert main(["a red house", "--images", "2", "-o", "{n}.png"]) == Exit.DONE
    assert sorted(capsys.readouterr().out.split()) == ["1.png", "2.png"]


def test_a_server_that_stays_away_is_told_with_what_is_saved(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, terminal: Terminals
) -> None:
    monkeypatch.setattr("client.transport._PAUSES", ())
    wait = CyberImageClient.wait
    monkeypatch.setattr(CyberImageClient, "wait", lambda *of, **options: wait(*of, **options, patience=0))
    add_job(studio, ORDERS[1], count=2)
    looks = iter([(200, job_answer(ORDERS[1], "processing", images=1, count=2))])
    gone = (503, {"message": "It is gone."})
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = lambda body: next(looks, gone)
    with terminal() as screen:
        assert main(["a red house", "--images", "2", "-o", "{n}.png"]) == Exit.UNAVAILABLE
    assert "1.png\ncyberimage: It is gone. The server may go on with the job: cyberimage wait 1a2b3c4d" in screen.text
