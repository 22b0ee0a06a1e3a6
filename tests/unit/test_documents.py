"""The documents say what the code says."""

from __future__ import annotations

import re

from jobs import settings
from tests.programs import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_setting() -> None:
    between = re.search(r"<!-- settings: .*? -->\n(.*?)\n<!-- end of settings -->", README, re.DOTALL)
    assert between is not None
    assert between[1].strip() == settings.table(), "run: python -m tests.unit.test_documents"


def test_the_documents_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / target).exists(), target


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
