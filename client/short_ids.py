"""Short forms of ids: any beginning or end that only one has, and `@last`.

An image id begins with the time, and the id of a job may: those of the same minute begin alike. So lists show the end,
which is random: of a job `3f9a2c1d`, of an image `77b0e412_1`. Short forms are looked up in the newest ones.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from client.api_client import CyberImageClient
from client.errors import NotFound
from client.remembered import last_job

LAST: Final = "@last"
#: How many jobs or images are looked through for a short id.
NEWEST: Final = 2000
_LEAST: Final = 4
_SHOWN: Final = 8
_JOB: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[4-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-([0-9a-f]{12})", re.ASCII)
_IMAGE: Final = re.compile(r"img_[0-9a-f]{24}([0-9a-f]{8})(_[1-8])", re.ASCII)
_SHORT_IMAGE: Final = re.compile(r"[0-9a-f]+_[1-8]", re.ASCII)


class Ambiguous(NotFound):
    """Several jobs or images have this short id."""


@dataclass(frozen=True)
class Reference:
    """The whole id of a job or an image."""

    id: str
    is_image: bool


def short(identifier: str) -> str:
    """The end of an id as lists show it; ids that somebody chose stay whole."""
    if match := _JOB.fullmatch(identifier):
        return match[1][-_SHOWN:]
    if match := _IMAGE.fullmatch(identifier):
        return match[1] + match[2]
    return identifier


class ShortIds:
    """Looks short ids up at one server."""

    def __init__(self, client: CyberImageClient) -> None:
        self._client = client

    def job(self, text: str) -> str:
        """The whole id of a job; raises NotFound and Ambiguous."""
        return self._last() if text == LAST else self._job(text)

    def image(self, text: str) -> str:
        """The whole id of an image; raises NotFound and Ambiguous."""
        if _IMAGE.fullmatch(text):
            return text
        images = ((image.id, image.prompt) for image in self._client.gallery_images())
        try:
            return _only(text, images, "image", _IMAGE)
        except Ambiguous:
            raise
        except NotFound:
            if text.startswith("img_"):  # a whole id of another kind of server, which it may know all the same
                return text
            raise

    def either(self, text: str) -> Reference:
        """A job or an image, whichever the text means."""
        if text == LAST:
            return Reference(self._last(), is_image=False)
        if text.startswith("img_"):
            return Reference(self.image(text), is_image=True)
        if not _SHORT_IMAGE.fullmatch(text):
            return Reference(self._job(text), is_image=False)
        # It looks like an image, but somebody may have called a job so.
        if self._has_job(text):
            return Reference(text, is_image=False)
        return Reference(self.image(text), is_image=True)

    def _last(self) -> str:
        found = last_job(self._client.url)
        if found is None:
            raise NotFound(
                f"{LAST} is not known: no job was submitted to {self._client.url} from here yet.", status=404
            )
        return found

    def _job(self, text: str) -> str:
        if _JOB.fullmatch(text) or self._has_job(text):
            return text
        jobs = ((job.id, job.prompt) for job in self._client.all_jobs())
        return _only(text, jobs, "job", _JOB)

    def _has_job(self, text: str) -> bool:
        try:
            self._client.status(text)
        except NotFound:
            return False
        return True


def _only(text: str, known: Iterable[tuple[str, str]], kind: str, random_end: re.Pattern[str]) -> str:
    """The one id that is, begins or ends with a text.

    Once the whole random end of an id is given, the first is taken: that two ids share it is out of the question.
    """
    if len(text) < _LEAST:
        raise NotFound(f"No {kind} has the id {text!r}; a short form has at least {_LEAST} characters.", status=404)
    found: dict[str, str] = {}
    is_whole_end = len(text.partition("_")[0]) >= _SHOWN
    for identifier, prompt in itertools.islice(known, NEWEST):
        is_end = identifier.endswith(text)
        if identifier == text or (is_end and is_whole_end and random_end.fullmatch(identifier)):
            return identifier
        if is_end or identifier.startswith(text):
            found[identifier] = prompt
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise Ambiguous(f"{text!r} may be {_listed(found)}; give more of the id.", status=404)
    lists = "gallery" if kind == "image" else "jobs"
    raise NotFound(
        f"No {kind} has an id that begins or ends with {text!r}, of the newest {NEWEST:,}; see cyberimage {lists}.",
        status=404,
    )


def _listed(found: dict[str, str]) -> str:
    """Some of them, with the beginnings of their prompts; whole ids where the short ones would be alike."""
    some = list(itertools.islice(found.items(), 5))
    ids = [short(identifier) for identifier, _ in some]
    shown = ids if len(set(ids)) == len(ids) else [identifier for identifier, _ in some]
    told = [f"{name} ({prompt[:30]})" for name, (_, prompt) in zip(shown, some, strict=True)]
    return ", ".join(told) + (f" or {len(found) - len(some)} more" if len(found) > len(some) else "")
