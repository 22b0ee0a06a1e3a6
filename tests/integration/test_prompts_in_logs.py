"""What somebody wants to see drawn is in the log only where CYBERIMAGE_LOG_PROMPTS says so, whoever writes it."""

from __future__ import annotations

import json
import random
import string

import pytest

from jobs.schema import Job
from tests.programs import wait_until
from tests.runner_harness import RunnerHarness


def words(seed: int, count: int) -> list[str]:
    """Words that nothing else contains."""
    letters = random.Random(seed)
    return ["q" + "".join(letters.choices(string.ascii_lowercase, k=6)) for _ in range(count)]


def run_all(harness: RunnerHarness, prompt: str, *, log_prompts: str) -> tuple[list[Job], str]:
    """Jobs that are drawn, that read only a part, that fail, and drops that are refused; and what was logged."""
    bad = harness.spool.layout.incoming / "bad.json"
    bad.write_text(json.dumps({"model_id": "tiny-sd", "prompt": [prompt]}), encoding="utf-8")
    (harness.weights / "gone").mkdir(exist_ok=True)
    (harness.weights / "gone" / "model_index.json").write_text("{}", encoding="utf-8")
    jobs = [harness.submit(prompt, model=model, negative=prompt) for model in ("tiny-sd", "tiny-flux", "gone")]
    harness.drop("good", prompt)
    with harness.runner(log_level="debug", log_prompts=log_prompts, quiet_seconds=0) as runner:
        ended = [harness.wait_for(job) for job in jobs]
        wait_until(lambda: not bad.exists(), about="the drop to be refused")
        harness.wait_for_adoption("good")
        ended.append(harness.wait_for(harness.spool.find("good")[1]))
    return ended, runner.output()


def test_no_line_of_a_run_holds_a_word_of_a_prompt(harness: RunnerHarness) -> None:
    chosen = words(1, 40)
    ended, log = run_all(harness, " ".join(chosen), log_prompts="off")
    assert [job.outcome for job in ended] == ["completed", "completed", "failed", "completed"]
    assert "A job begins." in log
    assert "Refused the dropped file" in log
    assert [word for word in chosen if word in log.lower()] == []


def test_the_words_that_are_not_read_are_told_with_the_job_and_its_images(harness: RunnerHarness) -> None:
    chosen = words(2, 40)
    ended, log = run_all(harness, " ".join(chosen), log_prompts="on")
    assert f'prompt="{" ".join(chosen)}"' in log
    for job, limit in ((ended[0], 77), (ended[1], 77)):
        start = f"The model reads {limit} tokens of the prompt; it does not read the words at its end: "
        (told,) = [text for text in job.warnings if text.startswith(start)]
        unread = told.removeprefix(start).removesuffix("...").split()
        assert unread[0] in chosen
        (sidecar,) = harness.images_of(job)
        assert told in sidecar.warnings
    assert any("of the negative prompt" in text for text in ended[0].warnings)
    assert not any("of the negative prompt" in text for text in ended[1].warnings)


@pytest.mark.parametrize("prompt", ["a castle", "a red house on a hill"])
def test_a_prompt_that_is_read_whole_gives_no_warning(harness: RunnerHarness, prompt: str) -> None:
    with harness.runner():
        assert harness.wait_for(harness.submit(prompt)).warnings == []
