"""The documents say what the code says."""

from __future__ import annotations

import re
import subprocess

import pytest

from core import settings
from jobs.abilities import BY_PIPELINE
from jobs.schedulers import SIGMAS
from tests.programs import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_setting() -> None:
    between = re.search(r"<!-- settings: .*? -->\n(.*?)\n<!-- end of settings -->", README, re.DOTALL)
    assert between is not None
    assert between[1].strip() == settings.table(), "run: python -m tests.unit.test_documents"


def shell_blocks() -> list[tuple[str, str]]:
    """The shell commands that the documents show: document and text."""
    pages = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")]
    pages += [REPOSITORY / "deploy" / "README.md", REPOSITORY / "demo_model" / "README.md"]
    return [
        (page.relative_to(REPOSITORY).as_posix(), block)
        for page in pages
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    ]


def test_shell_commands_can_be_pasted_as_they_stand() -> None:
    """What the acceptance tests do not run is parsed at least: `<id>` would be a redirection from a file."""
    blocks = shell_blocks()
    assert {"README.md", "CONTRIBUTING.md", "docs/client.md"} <= {page for page, _ in blocks}
    for page, block in blocks:
        parsed = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert parsed.returncode == 0, f"{page}: {block}\n{parsed.stderr}"
        assert not re.search(r"<[\w ./-]+>", block), f"{page}: {block}"


def test_the_targets_that_the_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page, block in shell_blocks():
        for target in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE):
            assert target in targets, f"{page}: make {target}"


def test_the_documents_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_the_tests_that_the_page_on_reliability_names_exist() -> None:
    """Written as `file.py` or `file.py::test`; the folder may be left out."""
    page = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]*\w+\.py)(?:::(\w+))?`", page)
    assert len(named) > 60
    files = list((REPOSITORY / "tests").rglob("*.py"))
    for name, test in named:
        found = [path for path in files if path.as_posix().endswith(f"/{name}")]
        found = found or [path for path in [REPOSITORY / name] if path.is_file()]
        assert found, f"{name} does not exist"
        texts = [path.read_text(encoding="utf-8") for path in found]
        assert not test or any(f"def {test}(" in text for text in texts), f"{name} has no {test}"


def test_the_clients_that_were_tried_are_the_pinned_ones() -> None:
    """A row begins with the package in backquotes; the version follows. Those of npm are pinned elsewhere."""
    page = (REPOSITORY / "docs" / "clients.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w[\w-]*)`(?! \(Node\))[^|]*\| ([\d.]+)", page, re.MULTILINE)
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert rows
    assert {f"{package}=={version}" for package, version in rows} <= set(pins)


@pytest.mark.parametrize("number", range(1, 8))
def test_every_promise_names_its_tests(number: int) -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| P{number} \| .*$", page, re.MULTILINE)
    assert row is not None
    assert re.search(r"`tests/\S+\.py(::\w+)?`", row[0])


def write_settings() -> None:
    """Put the current table into the README."""
    text = re.sub(
        r"(<!-- settings: .*? -->\n).*?(<!-- end of settings -->)",
        lambda match: f"{match[1]}\n{settings.table()}\n\n{match[2]}",
        README,
        flags=re.DOTALL,
    )
    (REPOSITORY / "README.md").write_text(text, encoding="utf-8")


def abilities_table() -> str:
    """What the models of each family take, as Markdown."""
    lines = [
        "| pipeline | from words | `image` | `mask`, `outpaint` | `settings.scheduler` |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in BY_PIPELINE.items():
        can = ["yes" if it else "no" for it in (found.text_to_image, found.image_to_image, found.inpainting)]
        names = ", ".join(f"*{it}*" if it in found.from_words_only else it for it in _folded(found.schedulers))
        lines.append(f"| `{name}` | {' | '.join(can)} | {names} |")
    return "\n".join(lines)


def _folded(names: tuple[str, ...]) -> list[str]:
    """`euler [karras, beta]` for `euler`, `euler karras`, `euler beta`."""
    words: dict[str, list[str]] = {}
    for name in names:
        plain, _, last = name.rpartition(" ")
        plain, word = (plain, last) if last in SIGMAS else (name, "")
        words.setdefault(plain, []).extend([word] if word else [])
    return [f"{plain} [{', '.join(found)}]" if found else plain for plain, found in words.items()]


MODELS = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
ABILITIES = re.compile(r"(<!-- abilities: .*? -->\n)(.*?)(<!-- end of abilities -->)", re.DOTALL)


def test_the_page_on_models_lists_what_each_family_takes() -> None:
    between = ABILITIES.search(MODELS)
    assert between is not None
    assert between[2].strip() == abilities_table(), "run: python -m tests.unit.test_documents"


def write_abilities() -> None:
    """Put the current table into the page on models."""
    text = ABILITIES.sub(lambda match: f"{match[1]}\n{abilities_table()}\n\n{match[3]}", MODELS)
    (REPOSITORY / "docs" / "models.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_settings()
    write_abilities()
