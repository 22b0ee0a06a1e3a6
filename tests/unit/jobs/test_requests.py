"""The validator: any bytes give a request or a sentence that names the field and the value, never anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidRequest
from core.strict_json import SIZE_LIMIT, is_incomplete, parse_object
from jobs.catalog import Catalog, ModelEntry
from jobs.requests import RequestValidator
from jobs.schema import Job, RequestSettings

ORDER = "01890a5d-ac96-774b-bcce-b302099a8057"
RELAXED = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["tiny", "far", "example/tiny", "a castle", "x" * 501, "\u0000", "\ud800", "../../etc"]),
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
SETTINGS = RequestSettings.__struct_fields__
near_settings = st.dictionaries(st.sampled_from([*SETTINGS, "x"]), scalars | st.integers(0, 600), max_size=5)
near_requests = st.fixed_dictionaries(
    {"model_id": st.just("tiny") | scalars, "prompt": st.just("a castle") | scalars},
    optional={"negative_prompt": anything, "settings": near_settings | anything, "id": anything, "unknown": anything},
)


def judge(validator: RequestValidator, raw: bytes, *, dropped: bool = False) -> Job | InvalidRequest:
    try:
        request = validator.dropped(raw) if dropped else validator.generate(raw)
        return validator.job(request, job_id="x", order=ORDER, source="http")
    except InvalidRequest as found:
        error = found
    assert error.message.strip()
    (error.message + error.field).encode("utf-8")  # it can be sent
    return error


@RELAXED
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_judged(raw: bytes, validator: RequestValidator) -> None:
    judge(validator, raw)


@RELAXED
@given(document=anything)
def test_any_json_is_judged(document: Any, validator: RequestValidator) -> None:
    judge(validator, json.dumps(document).encode())


@RELAXED
@given(document=near_requests, dropped=st.booleans())
@example(document={"model_id": "tiny", "prompt": "x", "settings": {"seed": 2**64}}, dropped=False)
@example(document={"model_id": "tiny", "prompt": "x", "settings": {"width": 1e400}}, dropped=False)
def test_what_is_nearly_a_request_is_judged(document: Any, dropped: bool, validator: RequestValidator) -> None:
    verdict = judge(validator, json.dumps(document).encode(), dropped=dropped)
    if isinstance(verdict, Job):
        effective = verdict.effective_settings
        assert 16 <= effective.width <= 128
        assert 16 <= effective.height <= 128
        assert 1 <= effective.num_images <= 8
        assert 1 <= effective.num_inference_steps <= 50
        assert 0 <= effective.seed < 2**63
        assert verdict.prompt.strip()


@RELAXED
@given(document=near_requests)
def test_http_and_dropped_files_get_the_same_verdict(document: dict[str, Any], validator: RequestValidator) -> None:
    document.pop("id", None)
    raw = json.dumps(document).encode()
    verdicts = [judge(validator, raw), judge(validator, raw, dropped=True)]
    assert isinstance(verdicts[0], Job) == isinstance(verdicts[1], Job)


@pytest.mark.parametrize("is_dropped", [False, True])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("4.0", 4),
        ("1e3", 1000),
        ("12.5e1", 125),
        ("-1.0", None),  # drawn
        ("9007199254740993.0", 2**53 + 1),  # no float is equal to it
        ("9223372036854775807.0", 2**63 - 1),
    ],
)
def test_a_number_without_a_fraction_is_an_integer(
    written: str, expected: int | None, is_dropped: bool, validator: RequestValidator
) -> None:
    raw = f'{{"model_id": "tiny", "prompt": "x", "settings": {{"width": 64.0, "seed": {written}}}}}'
    verdict = judge(validator, raw.encode(), dropped=is_dropped)
    assert isinstance(verdict, Job), verdict
    assert repr(verdict.settings["width"]) == "64"
    assert expected is None or verdict.effective_settings.seed == expected


@pytest.mark.parametrize(
    "written", ["4.5", "0.1", "1e-3", "1e-999999999", "9007199254740992.5", "9223372036854775808.0", "1e30", "1e400"]
)
def test_any_other_number_is_no_seed(written: str, validator: RequestValidator) -> None:
    verdict = judge(validator, f'{{"model_id": "tiny", "prompt": "x", "settings": {{"seed": {written}}}}}'.encode())
    assert isinstance(verdict, InvalidRequest)
    assert verdict.field == "settings.seed"


@pytest.mark.parametrize(
    ("settings", "field", "value", "right"),
    [
        ({"num_images": 9}, "settings.num_images", "9", "1 to 8"),
        ({"num_images": 0}, "settings.num_images", "0", "1 to 8"),
        ({"num_images": True}, "settings.num_images", "true", "an integer"),
        ({"num_images": 1.5}, "settings.num_images", "1.5", "an integer"),
        ({"num_inference_steps": 51}, "settings.num_inference_steps", "51", "1 to 50"),
        ({"guidance_scale": "high"}, "settings.guidance_scale", '"high"', "number"),
        ({"guidance_scale": -1}, "settings.guidance_scale", "-1", "0 to"),
        ({"width": 129}, "settings.width", "129", "16 to 128"),
        ({"height": 17}, "settings.height", "17", "multiple of 8"),
        ({"seed": 2**63}, "settings.seed", str(2**63), "9223372036854775807"),
        ({"max_sequence_length": 513}, "settings.max_sequence_length", "513", "1 to 512"),
        ({"num_inference_steps": 2000}, "settings.num_inference_steps", "2000", "1 to 50"),
        ({"num_inference_steps": 0}, "settings.num_inference_steps", "0", "1 to 50"),
        ({"guidance_scale": 30.5}, "settings.guidance_scale", "30.5", "0 to 30"),
        ({"guidance_scale": "7"}, "settings.guidance_scale", '"7"', "0 to 30"),
        ({"height": "64"}, "settings.height", '"64"', "multiple of 8 from 16 to 128"),
        ({"width": 10**10}, "settings.width", "10000000000", "multiple of 8 from 16 to 128"),
        ({"guidance_scale": float("nan")}, "settings.guidance_scale", "NaN", "finite number"),
        ({"callback": [{"x": float("-inf")}]}, "settings.callback.x", "-Infinity", "finite number"),
        ({"stpes": 3}, "settings.stpes", "", "num_inference_steps"),
    ],
)
def test_the_sentence_names_the_field_the_value_and_what_would_be_right(
    settings: dict[str, Any], field: str, value: str, right: str, validator: RequestValidator
) -> None:
    body = json.dumps({"model_id": "tiny", "prompt": "x", "settings": settings}).encode()
    verdict = judge(validator, body)
    assert isinstance(verdict, InvalidRequest)
    assert verdict.field == field
    assert all(word in verdict.message for word in (field, value, right)), verdict.message


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ('{"model_id": "tiny", "promt": "x"}', "prompt", "Missing required fields: prompt. Not known here: promt."),
        ('{"model_id": "tiny", "prompt": " "}', "prompt", 'prompt is " ", which is blank'),
        ('{"model_id": "tiny", "prompt": "a\\u0000b"}', "prompt", "NUL"),
        ('{"\\ud800": 1, "\\ud800": 2}', "", "half of a surrogate pair"),
        ('{"prompt": "a", "prompt": "b"}', "prompt", "'prompt' appears twice"),
        ('{"settings": {"seed": %s}}' % ("9" * 5000), "", "thousands of digits"),
    ],
)
def test_a_body_that_is_not_right_is_answered_with_its_field(
    raw: str, field: str, words: str, validator: RequestValidator
) -> None:
    verdict = judge(validator, raw.encode())
    assert isinstance(verdict, InvalidRequest)
    assert verdict.field == field
    assert words in verdict.message


@pytest.mark.parametrize("name", ["m" * 3000, "m\n" * 300])
@pytest.mark.parametrize("place", ["value", "key", "setting"])
def test_a_long_name_does_not_push_out_what_would_be_right(name: str, place: str, validator: RequestValidator) -> None:
    document: dict[str, Any] = {"model_id": "tiny", "prompt": "x"}
    changes: dict[str, dict[str, Any]] = {
        "value": {"model_id": name},
        "key": {name: 1},
        "setting": {"settings": {name: 1}},
    }
    document |= changes[place]
    verdict = judge(validator, json.dumps(document).encode())
    assert isinstance(verdict, InvalidRequest)
    assert len(verdict.message) < 400
    assert "tiny" in verdict.message or "num_images" in verdict.message or "model_id" in verdict.message


def accept(validator: RequestValidator, **wanted: int) -> Job:
    job = judge(validator, json.dumps({"model_id": "tiny", "prompt": "x", "settings": wanted}).encode())
    assert isinstance(job, Job)
    return job


def test_more_tokens_than_the_model_reads_are_accepted_with_a_warning(validator: RequestValidator) -> None:
    job = accept(validator, max_sequence_length=512)
    assert (job.settings["max_sequence_length"], job.effective_settings.max_sequence_length) == (512, 128)
    assert job.warnings == ["settings.max_sequence_length is 512; tiny takes at most 128 tokens."]
    assert accept(validator, max_sequence_length=128).warnings == []


def test_a_size_that_the_model_does_not_draw_itself_is_enlarged_with_a_warning(catalog: Catalog) -> None:
    limits = msgspec.structs.replace(catalog.models["tiny"].limits, drawn_side=48)
    catalog.models["tiny"] = msgspec.structs.replace(catalog.models["tiny"], limits=limits)
    validator = RequestValidator(catalog, prompt_limit=500)
    job = accept(validator, width=128, height=96)
    assert (job.effective_settings.width, job.effective_settings.height) == (128, 96)
    assert job.warnings == ["tiny draws this at 64x48; it is then enlarged to 128x96."]
    assert accept(validator, width=128, height=48).warnings == []


@pytest.mark.parametrize("depth", [10, 100, 500, 900, 990, 1000, 1100, 5000, 30_000])
@pytest.mark.parametrize("place", ["callback", "width"])
def test_deep_nesting_is_judged(depth: int, place: str, validator: RequestValidator) -> None:
    nest = "[" * depth + "]" * depth
    raw = f'{{"model_id": "tiny", "prompt": "x", "settings": {{"{place}": {nest}}}}}'.encode()
    assert len(raw) < SIZE_LIMIT
    judge(validator, raw)


@pytest.mark.parametrize("count", [1, 500])
def test_the_longest_prompt_counts_characters(count: int, validator: RequestValidator) -> None:
    for character in ("a", "ä", "🏰"):
        body = {"model_id": "tiny", "prompt": character * count}
        assert isinstance(judge(validator, json.dumps(body).encode()), Job)
    too_long = {"model_id": "tiny", "prompt": "🏰" * 501}
    assert isinstance(judge(validator, json.dumps(too_long).encode()), InvalidRequest)


@given(
    document=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers())
)
def test_no_beginning_of_an_object_passes_for_the_whole(document: dict[str, int]) -> None:
    raw = json.dumps(document, ensure_ascii=False).encode()
    assert parse_object(raw) == document
    assert all(is_incomplete(raw[:cut]) for cut in range(len(raw)))


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        (
            "castle.safetensors",
            "whose local folder 'castle.safetensors' is a file; it must be the folder of a diffusers",
        ),
        ("/castle.safetensors", "whose local folder 'castle.safetensors' is a file"),
        (
            "weights/gone",
            "whose local folder 'weights/gone' is not on this machine; its path counts from the folder of",
        ),
        ("empty", "whose local folder 'empty' has no model_index.json"),
    ],
)
def test_a_local_model_that_cannot_be_used_is_told_by_its_cause(
    catalog: Catalog, tmp_path: Path, place: str, cause: str
) -> None:
    (tmp_path / "castle.safetensors").write_bytes(b"weights")
    (tmp_path / "empty").mkdir()
    place = str(tmp_path) + place if place.startswith("/") else place
    catalog.models["castle"] = ModelEntry(id=place, description="x", local=True)
    with pytest.raises(InvalidRequest) as refused:
        RequestValidator(catalog, 500).generate(b'{"model_id": "castle", "prompt": "x"}')
    assert cause in refused.value.message
    assert "available now: tiny." in refused.value.message
    assert "pull" not in refused.value.message
    assert str(tmp_path) not in refused.value.message


def test_weights_that_may_not_be_read_are_not_available(catalog: Catalog, tmp_path: Path) -> None:
    """As `/models` of a container that runs with another user."""
    catalog.models["castle"] = ModelEntry(id="weights/castle", description="x", local=True)
    for folder in (tmp_path / "models", tmp_path / "weights"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0)
    with another_user():
        assert list(catalog.available()) == []
        assert catalog.default == "tiny"
        for key, what in (("tiny", "weights"), ("castle", "local folder 'weights/castle'")):
            with pytest.raises(InvalidRequest) as refused:
                RequestValidator(catalog, 500).generate(json.dumps({"model_id": key, "prompt": "x"}).encode())
            assert f"whose {what} cannot be read here: Permission denied; available now: none." in refused.value.message
            assert "pull" not in refused.value.message


@contextmanager
def another_user() -> Iterator[None]:
    """Be somebody for whom permissions count, where the tests are run by root."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
