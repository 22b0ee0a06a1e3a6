"""The documents say what the code says."""

from __future__ import annotations

import re

import pytest

from core import settings
from tests.programs import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_setting() -> None:
    between = re.search(r"<!-- settings: .*? -->\n(.*?)\n<!-- end of settings -->", README, re.DOTALL)
    assert between is not None
    assert between[1].strip() == settings.table(), "run: python -m tests.unit.test_documents"


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


if __name__ == "__main__":
    write_settings()
