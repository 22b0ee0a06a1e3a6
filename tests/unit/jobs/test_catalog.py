"""The catalog: what operators write, and the sentences that they get for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.catalog import Catalog
from jobs.errors import CatalogError, UnknownModel
from jobs.limits import Limits
from tests.conftest import REPOSITORY

GOOD = """\
default = "castle"

[models.castle]
id = "example/castle"
description = "castles"
limits = { max_side = 512 }
defaults = { height = 512, width = 512 }

[models.castle.speed]
compile = true
"""


def load(folder: Path, text: str) -> Catalog:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return Catalog.load(path, folder / "weights")


def test_the_shipped_catalog_has_the_models_of_the_contract() -> None:
    catalog = Catalog.load(REPOSITORY / "models.toml", Path("/nowhere"))
    assert list(catalog.models) == ["flux-1", "flux-2", "sd-3.5", "flux-abliterated", "demo"]
    assert catalog.preferred == "flux-2"
    assert catalog.models["flux-2"].quantisation == "fp8"
    assert catalog.models["flux-1"].defaults.guidance_scale == 3.5
    assert not catalog.models["flux-1"].capabilities.negative_prompt
    assert catalog.models["sd-3.5"].capabilities.negative_prompt
    assert catalog.models["sd-3.5"].defaults.guidance_scale == 7.5


def test_a_model_is_known_by_its_key_and_its_hub_id(tmp_path: Path) -> None:
    catalog = load(tmp_path, GOOD)
    assert catalog.key("castle") == catalog.key("example/castle") == "castle"
    assert catalog.key("Castle") is None
    assert catalog.models["castle"].speed.compile


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((512, 512), (512, 512)), ((1024, 1024), (512, 512)), ((1024, 768), (704, 512)), ((1024, 64), (1024, 64))],
)
def test_the_shorter_side_is_drawn_no_longer_than_the_drawn_side(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    limits = Limits(min_side=64, max_side=1024, size_multiple=64, drawn_side=512)
    assert limits.drawn(*size) == drawn
    assert limits.drawn(*reversed(size)) == tuple(reversed(drawn))


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        (
            "max_side = 512",
            "max_side = 4",
            6,
            "models.castle.limits.max_side is 4; it must be an integer of at least 8.",
        ),
        (
            "max_side",
            "max_sides",
            6,
            "limits.max_sides is not a known field (max_side, perhaps); models.castle.limits may have: min_side",
        ),
        ("compile = true", "compile = 1", 10, "models.castle.speed.compile is 1; it must be true or false."),
        ("compile", "compiled", 10, "models.castle.speed.compiled is not a known field"),
        ('description = "castles"\n', "", 3, "Missing required fields: models.castle.description."),
        (
            'description = "castles"',
            'description = ""',
            5,
            'models.castle.description is ""; it must be a text that is not empty.',
        ),
        (
            'id = "example/castle"',
            'id = "x"\nmemory = "much"',
            5,
            "it must be one of auto, group_offload, model_offload",
        ),
        ('default = "castle"', 'defaults = "castle"', 1, "Missing required fields: default. Not known here: defaults."),
        (
            "height = 512",
            "height = 500",
            3,
            "defaults.height is 500; by models.castle.limits it must be a multiple of 16 from 256 to 512.",
        ),
        ("max_side = 512", "drawn_side = 64", 3, "models.castle.limits.drawn_side is 64; it must be at least min_side"),
        ("models.castle", 'models."../castle"', 3, "the model key '../castle' must be"),
        ("max_side = 512", "min_side = 4096", 3, "models.castle.limits.min_side is 4096; it must be at most max_side"),
        ('id = "example/castle"', 'id = "x"\ndtype = "int8"', 5, "it must be one of bfloat16, float16, float32."),
        ("compile = true", "first_block_cache = 0", 10, "it must be a number above 0 and at most 1."),
        (
            "limits = { max_side = 512 }",
            "limits = { max_side = 512, max_pixels = 200000 }",
            3,
            "models.castle.defaults.height is 512x512; by models.castle.limits it must be at most 200000 pixels.",
        ),
        (
            "limits = { max_side = 512 }",
            "limits = { max_side = 512, max_guidance_scale = 5 }",
            3,
            "models.castle.defaults.guidance_scale is 7.5; by models.castle.limits it must be a number from 0 to 5.",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_and_what_would_be_right(
    tmp_path: Path, old: str, new: str, line: int, sentence: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert f"models.toml, line {line}: " in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("default = ", "is not valid TOML"),
        ('default = "castle"', "it must have at least one table like [models.demo]"),
        (GOOD.replace('default = "castle"', 'default = "ship"'), "default is 'ship'; it must be one of castle"),
    ],
)
def test_a_catalog_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load(tmp_path, text)
    assert sentence in str(caught.value)


def test_entries_of_the_same_weights_share_what_is_pulled(tmp_path: Path) -> None:
    fp8 = GOOD + '[models.fp8]\nid = "example/castle"\ndescription = "x"\nquantisation = "fp8"\n'
    catalog = load(tmp_path, fp8 + '[models.pinned]\nid = "example/castle"\ndescription = "x"\nrevision = "abc"\n')
    assert catalog.path("fp8") == tmp_path / "weights" / "fp8"
    folder = tmp_path / "weights" / "castle"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}", encoding="utf-8")
    assert catalog.path("fp8") == catalog.path("castle") == folder
    assert list(catalog.available()) == ["castle", "fp8"]
    own = tmp_path / "weights" / "fp8"
    own.mkdir()
    assert catalog.path("fp8") == own


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="CYBERIMAGE_CATALOG"):
        Catalog.load(tmp_path / "models.toml", tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(GOOD.replace("castles", "château"), encoding=encoding)
    assert Catalog.load(path, tmp_path).models["castle"].description == "château"


@pytest.mark.parametrize(
    ("encoding", "cause"),
    [("utf-16", "is UTF-16"), ("utf-16-le", "is UTF-16"), ("latin-1", "is not UTF-8: line 5 has the byte 0xe2")],
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, cause: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(GOOD.replace("castles", "château"), encoding=encoding)
    with pytest.raises(CatalogError, match=cause):
        Catalog.load(path, tmp_path)


def test_a_model_that_the_catalog_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"Model 'added' is not in the runner's catalog: restart the runner"):
        load(tmp_path, GOOD).entry("added")
