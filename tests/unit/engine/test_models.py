"""Model folders: whole, damaged, refused; and fetching them from a hub that the test plays."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.errors
import pytest

from engine.local import loading, weights
from engine.local.devices import Device
from engine.local.memory_plan import Placement, Plan
from engine.local.model_store import ModelStore, PullFailed, RemoteFile, needed_files
from engine.local.weights import DamagedModel
from jobs.catalog import Catalog, ModelEntry
from jobs.schema import State
from runner import models
from tests import tiny_models
from tests.unit.conftest import Bench


@pytest.fixture
def folder(tiny_weights: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Stable Diffusion that a test may damage."""
    return Path(shutil.copytree(tiny_weights / "tiny-sd", tmp_path / "copy" / "tiny-sd"))


def truncate(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def garble(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights")


def pickle_only(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def lose_component(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")


def break_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{", encoding="utf-8")


def another_kind(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"architectures": ["Llama"]}', encoding="utf-8")


DAMAGES = [
    (truncate, "unet/diffusion_pytorch_model.safetensors is truncated"),
    (garble, "vae/diffusion_pytorch_model.safetensors is truncated or no safetensors file"),
    (pickle_only, "has only diffusion_pytorch_model.bin, a pickle, which can run code and is refused"),
    (lose_component, "lacks the folder text_encoder"),
    (break_index, "model_index.json cannot be read"),
    (another_kind, "names no pipeline class"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_a_damaged_folder_is_named_in_one_sentence(folder: Path, damage: Callable[[Path], None], sentence: str) -> None:
    assert weights.inspect(folder).total(2) > 0
    damage(folder)
    with pytest.raises(DamagedModel) as caught:
        weights.inspect(folder)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_model_fails_its_jobs_with_one_look_and_the_others_work(
    bench: Bench, tiny_weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truncate(folder)
    path = bench.harness.catalog.path
    monkeypatch.setattr(Catalog, "path", lambda self, key: folder if key == "tiny-sd" else path(key))
    looks = []
    inspect = weights.inspect
    monkeypatch.setattr(weights, "inspect", lambda place: (looks.append(place), inspect(place))[1])
    bad, again = bench.harness.submit(), bench.harness.submit()
    good = bench.harness.submit(model="tiny-flux")
    bench.run(bad, again, good)
    for job in (bad, again):
        failed = bench.harness.stored(job)
        assert failed.error is not None
        assert failed.error.type == "model_unavailable"
        assert "truncated" in failed.error.message
    assert looks.count(folder) == 1
    assert bench.harness.state(good) is State.COMPLETED
    name = Path("unet") / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(tiny_weights / "tiny-sd" / name, folder / name)
    mended = bench.harness.submit()
    bench.run(mended)
    assert bench.harness.state(mended) is State.COMPLETED


def test_only_what_the_pipeline_needs_is_fetched() -> None:
    names = [
        "model_index.json",
        "README.md",
        "flux1-dev.safetensors",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00003.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "transformer/diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
        "text_encoder/pytorch_model.bin",
        "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "onnx/model.onnx",
    ]
    wanted = needed_files(
        [RemoteFile(name, 1, None) for name in names], ["transformer", "text_encoder", "tokenizer", "tokenizer_2"]
    )
    assert [file.path for file in wanted] == [names[0], *names[3:6], *names[9:11]]


class FakeHub:
    """A hub with one repository, the tiny Stable Diffusion; a download may break off."""

    errors = huggingface_hub.errors

    def __init__(self, source: Path, error: Exception | None = None) -> None:
        self.source = source
        self.error = error
        self.breaks_after: int | None = None
        self.fetched: list[str] = []

    def HfApi(self, token: str | None) -> FakeHub:  # noqa: N802  the hub's name
        self.token = token
        return self

    def model_info(self, repository: str, revision: str | None, files_metadata: bool) -> Any:
        if self.error is not None:
            raise self.error
        siblings = [self._sibling(path) for path in sorted(self.source.rglob("*")) if path.is_file()]
        return SimpleNamespace(sha="0123456789abcdef", siblings=siblings)

    def _sibling(self, path: Path) -> Any:
        lfs = SimpleNamespace(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        name = str(path.relative_to(self.source))
        return SimpleNamespace(rfilename=name, size=path.stat().st_size, lfs=lfs if "safetensors" in name else None)

    def hf_hub_download(self, repository: str, name: str, revision: str, token: str | None) -> str:
        return str(self.source / name)

    def snapshot_download(self, repository: str, *, local_dir: Path, allow_patterns: list[str], **_: Any) -> None:
        for name in allow_patterns:
            target = local_dir / name
            if target.exists():
                continue
            if self.breaks_after is not None and len(self.fetched) >= self.breaks_after:
                raise ConnectionError("the connection broke")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.source / name, target)
            self.fetched.append(name)


@pytest.fixture
def shelf(tmp_path: Path) -> Catalog:
    """A catalog whose one model is not here yet."""
    entry = ModelEntry(id="example/tiny", description="for tests")
    return Catalog({"tiny": entry}, "tiny", tmp_path, tmp_path / "models")


def test_a_pull_is_whole_or_goes_on_later_and_is_verified(shelf: Catalog, tiny_weights: Path) -> None:
    hub = FakeHub(tiny_weights / "tiny-sd")
    hub.breaks_after = 3
    with pytest.raises(PullFailed, match="Run the same command again"):
        ModelStore(shelf, hub).pull("tiny", "a token")
    assert not shelf.is_available("tiny")
    hub.breaks_after = None
    folder = ModelStore(shelf, hub).pull("tiny", "a token")
    assert len(hub.fetched) == len(set(hub.fetched))
    assert shelf.is_available("tiny")
    assert weights.inspect(folder).revision == "0123456789abcdef"
    assert ModelStore(shelf, hub).verify("tiny") == []
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert ModelStore(shelf, hub).verify("tiny") == [
        "vae/diffusion_pytorch_model.safetensors is damaged: its SHA-256 is not that of the hub."
    ]
    assert ModelStore(shelf, hub).remove("tiny") > 0
    assert not folder.exists()


def test_a_second_entry_of_the_same_weights_needs_no_pull(tiny_weights: Path, tmp_path: Path) -> None:
    entry = ModelEntry(id="example/tiny", description="for tests")
    catalog = Catalog({"tiny": entry, "fp8": entry}, "tiny", tmp_path, tmp_path / "models")
    store = ModelStore(catalog, FakeHub(tiny_weights / "tiny-sd"))
    store.pull("tiny", None)
    with pytest.raises(PullFailed, match="fp8 is here already"):
        store.pull("fp8", None)
    with pytest.raises(PullFailed, match="it uses those of tiny: remove those"):
        store.remove("fp8")
    assert store.verify("fp8") == []


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_that_cannot_be_reached_is_a_sentence(
    shelf: Catalog, offline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real huggingface_hub against a port where nobody listens, and told to stay offline."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline == "1")
    with pytest.raises(PullFailed, match=r"tiny could not be fetched from .* Run the same command again"):
        ModelStore(shelf, huggingface_hub).pull("tiny", None)


def hub_error(kind: Callable[..., Exception]) -> Exception:
    import httpx

    response = httpx.Response(403, request=httpx.Request("GET", "https://hub.example/"))
    return kind("refused", response=response)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (huggingface_hub.errors.GatedRepoError, "accept its licence at https://huggingface.co/example/tiny"),
        (huggingface_hub.errors.RepositoryNotFoundError, "There is no model example/tiny on the hub"),
        (huggingface_hub.errors.RevisionNotFoundError, "example/tiny has no revision None"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    shelf: Catalog, tiny_weights: Path, kind: type[Exception], sentence: str
) -> None:
    hub = FakeHub(tiny_weights / "tiny-sd", hub_error(kind))
    with pytest.raises(PullFailed) as caught:
        ModelStore(shelf, hub).pull("tiny", None)
    assert sentence in str(caught.value)


def test_a_full_disk_is_seen_before_anything_is_fetched(
    shelf: Catalog, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=1000))
    hub = FakeHub(tiny_weights / "tiny-sd")
    with pytest.raises(PullFailed, match="GB are needed"):
        ModelStore(shelf, hub).pull("tiny", None)
    assert hub.fetched == []


def test_the_command_line_lists_what_is_here(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models.toml").write_text(tiny_models.catalog_text(), encoding="utf-8")
    monkeypatch.setenv("CYBERIMAGE_CATALOG", str(tmp_path / "models.toml"))
    monkeypatch.setenv("CYBERIMAGE_MODELS", str(tiny_weights))
    assert models.main(["list"]) == 0
    listing = capsys.readouterr().out
    assert [line for line in listing.splitlines() if "tiny-sd " in line and "yes" in line]
    assert [line for line in listing.splitlines() if "gone" in line and "no" in line]
    assert models.main(["verify", "tiny-sd"]) == 0
    assert models.main(["pull", "castle"]) == 1
    assert "'castle' is not in the catalog" in capsys.readouterr().err


def as_variant(folder: Path, variant: str, *components: str) -> None:
    """Rename the weights of components as `save_pretrained(variant=...)` names them."""
    for component in components:
        for path in (folder / component).glob("*.safetensors"):
            path.rename(path.with_name(path.name.replace(".safetensors", f".{variant}.safetensors")))


def save_variant(tiny_weights: Path, model: str, folder: Path, **options: Any) -> None:
    """Save a tiny pipeline with diffusers itself, its weights only in the variant fp16."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(tiny_weights / model))
    pipeline.save_pretrained(folder, variant="fp16", **options)


@pytest.mark.parametrize("model", sorted(tiny_models.MAKERS))
@pytest.mark.parametrize("parts", [{}, {"max_shard_size": "20KB"}], ids=["whole", "in parts"])
def test_weights_that_are_only_there_as_a_variant_are_loaded(
    bench: Bench, tiny_weights: Path, tmp_path: Path, model: str, parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "only" / model
    save_variant(tiny_weights, model, folder, **parts)
    assert weights.variant_of(folder) == "fp16"
    assert weights.inspect(folder).parameters == weights.inspect(tiny_weights / model).parameters
    monkeypatch.setattr(Catalog, "path", lambda _self, _key: folder)
    job = bench.harness.submit(model=model)
    bench.run(job)
    assert bench.harness.stored(job).error is None
    assert bench.harness.state(job) is State.COMPLETED


@pytest.mark.parametrize(
    ("prepare", "variant"),
    [
        (lambda folder: None, None),
        (lambda folder: as_variant(folder, "fp16", "unet"), "fp16"),
        (lambda folder: as_variant(folder, "bf16", "unet", "text_encoder"), "bf16"),
        (
            lambda folder: shutil.copytree(folder / "unet", folder / "twice") and as_variant(folder, "fp16", "twice"),
            None,
        ),
    ],
)
def test_plain_weights_come_first_and_a_variant_where_one_component_needs_it(
    folder: Path, prepare: Callable[[Path], Any], variant: str | None
) -> None:
    prepare(folder)
    assert weights.variant_of(folder) == variant
    assert weights.inspect(folder).total(2) > 0
    plan = Plan(
        placement=Placement.RESIDENT,
        vae_tiling=False,
        fp8=False,
        weight_bytes=1,
        device_bytes=1,
        host_bytes=0,
        fits=True,
    )
    loading.load(folder, ModelEntry(id="x", description="x"), plan, Device("cpu", "CPU"))


def two_variants(folder: Path) -> None:
    as_variant(folder, "fp16", "unet")
    as_variant(folder, "bf16", "vae")


def odd_name(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("castle.safetensors"))


def parts_without_index(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model-00001-of-00001.safetensors"))


def variant_beside_a_name_without_a_dot(folder: Path) -> None:
    as_variant(folder, "fp16", "unet")
    (folder / "vae" / "LICENSE").write_text("free", encoding="utf-8")


def unreadable_index(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text("{", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (two_variants, "diffusers cannot load together (unet as fp16, vae as bf16)"),
        (odd_name, "unet/castle.safetensors is not loaded under that name"),
        (parts_without_index, "unet/diffusion_pytorch_model-00001-of-00001.safetensors is not loaded under that name"),
        (variant_beside_a_name_without_a_dot, "diffusers cannot load together (unet as fp16)"),
        (unreadable_index, "diffusion_pytorch_model.safetensors.index.json cannot be read"),
    ],
)
def test_what_diffusers_could_not_load_is_refused_before_and_without_a_path_of_the_server(
    bench: Bench, folder: Path, damage: Callable[[Path], None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(folder)
    monkeypatch.setattr(Catalog, "path", lambda _self, _key: folder)
    job = bench.harness.submit()
    bench.run(job)
    error = bench.harness.stored(job).error
    assert error is not None
    assert error.type == "model_unavailable"
    assert sentence in error.message
    assert str(folder.parent) not in error.message


def test_an_error_of_diffusers_names_no_path_of_the_server(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "unet" / "config.json").unlink()
    monkeypatch.setattr(Catalog, "path", lambda _self, _key: folder)
    job = bench.harness.submit()
    bench.run(job)
    error = bench.harness.stored(job).error
    assert error is not None
    assert error.message.startswith("Model tiny-sd cannot be loaded: ")
    assert "tiny-sd/unet" in error.message
    assert str(folder.parent) not in error.message


def test_a_repository_that_has_only_a_variant_is_fetched_with_it(
    shelf: Catalog, tiny_weights: Path, tmp_path: Path
) -> None:
    save_variant(tiny_weights, "tiny-sd", tmp_path / "hub", max_shard_size="20KB")
    folder = ModelStore(shelf, FakeHub(tmp_path / "hub")).pull("tiny", None)
    assert weights.variant_of(folder) == "fp16"


def test_a_variant_that_is_not_needed_is_not_fetched(shelf: Catalog, tiny_weights: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_weights / "tiny-sd", tmp_path / "hub"))
    save_variant(tiny_weights, "tiny-sd", source, max_shard_size="20KB")
    folder = ModelStore(shelf, FakeHub(source)).pull("tiny", None)
    assert not [path for path in folder.rglob("*fp16*") if path.is_file()]
    assert weights.inspect(folder).parameters == weights.inspect(tiny_weights / "tiny-sd").parameters


class ShelfOfDecoders(FakeHub):
    """A hub that also has a small decoder, perhaps an incomplete one."""

    def __init__(self, source: Path, small: tuple[str, ...]) -> None:
        super().__init__(source)
        self.small = small

    def snapshot_download(self, repository: str, *, local_dir: Path, allow_patterns: list[str], **options: Any) -> None:
        if repository != "example/small":
            super().snapshot_download(repository, local_dir=local_dir, allow_patterns=allow_patterns, **options)
            return
        if self.breaks_after is not None:
            raise ConnectionError("the connection broke")
        local_dir.mkdir(parents=True, exist_ok=True)
        for name in set(allow_patterns) & set(self.small):
            (local_dir / name).write_bytes(b"{}")


SMALL = ("config.json", "diffusion_pytorch_model.safetensors")


@pytest.fixture
def decoders(tmp_path: Path) -> Catalog:
    """Two models that share a small decoder for previews."""
    models = {
        key: ModelEntry(id=f"example/{key}", description="for tests", preview_decoder="example/small")
        for key in ("tiny", "other")
    }
    return Catalog(models, "tiny", tmp_path, tmp_path / "models")


def test_a_preview_decoder_is_pulled_with_its_model_and_goes_with_the_last_one(
    decoders: Catalog, tiny_weights: Path
) -> None:
    hub = ShelfOfDecoders(tiny_weights / "tiny-sd", SMALL)
    store = ModelStore(decoders, hub)
    path = decoders.preview_decoder_path("tiny")
    assert path is not None
    assert path == decoders.preview_decoder_path("other")
    store.pull("tiny", None)
    assert sorted(file.name for file in path.iterdir()) == sorted(SMALL)
    with pytest.raises(PullFailed, match="tiny is here already"):
        store.pull("tiny", None)
    shutil.rmtree(path)
    store.pull("tiny", None)  # the decoder alone
    assert path.is_dir()
    store.remove("tiny")
    assert path.is_dir()
    del decoders.models["other"]
    assert store.remove("tiny") > 0
    assert not path.exists()


def test_a_preview_decoder_that_cannot_be_had_is_a_sentence(decoders: Catalog, tiny_weights: Path) -> None:
    hub = ShelfOfDecoders(tiny_weights / "tiny-sd", SMALL[:1])
    with pytest.raises(PullFailed, match=r"example/small lacks diffusion_pytorch_model\.safetensors"):
        ModelStore(decoders, hub).pull("tiny", None)
    hub.breaks_after = 0
    with pytest.raises(PullFailed, match="The preview decoder of tiny could not be fetched"):
        ModelStore(decoders, hub).pull("tiny", None)


def test_the_preview_decoder_of_a_local_model_is_a_folder_beside_the_catalog(tmp_path: Path) -> None:
    entry = ModelEntry(id="demo", local=True, description="for tests", preview_decoder="demo/small")
    plain = ModelEntry(id="plain", description="for tests")
    catalog = Catalog({"demo": entry, "plain": plain}, "demo", tmp_path, tmp_path / "models")
    assert catalog.preview_decoder_path("demo") == tmp_path / "demo" / "small"
    assert catalog.preview_decoder_path("plain") is None
