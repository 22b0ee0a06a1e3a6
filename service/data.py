"""The one place where a data directory is opened: by the API, the supervisor, the worker and the maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from core.layout import Layout
from core.settings import Settings
from jobs.index.job_index import JobIndex
from jobs.spool import Spool
from outputs.index.image_index import ImageIndex
from outputs.inputs import InputStore
from outputs.store import ImageStore


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data directory. Holds no thread and no open file, so it may be opened before a fork.

    Whatever is changed through `spool` and `store` is noted in the indexes.
    """

    layout: Layout
    spool: Spool
    store: ImageStore
    inputs: InputStore
    jobs: JobIndex
    images: ImageIndex


def open_data(settings: Settings) -> Data:
    """The data directory of these settings, with the operator's limits; `spool.prepare` makes what is missing."""
    layout = Layout(settings.data)
    # The indexes read through objects of their own, which tell nobody: they would tell the indexes.
    jobs, images = JobIndex(Spool(layout)), ImageIndex(ImageStore(layout))
    spool = Spool(
        layout, max_pending=settings.max_pending, reserve_bytes=settings.reserve_megabytes << 20, observer=jobs
    )
    store = ImageStore(layout, observer=images)
    return Data(layout=layout, spool=spool, store=store, inputs=InputStore(layout), jobs=jobs, images=images)
