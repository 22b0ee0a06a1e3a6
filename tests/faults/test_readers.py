"""Readers of images and lists while others delete, and readers that go away (reliability.md E11, E13, F15)."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from core.layout import Layout
from jobs.spool import Spool
from outputs.store import ImageStore
from tests.faults.hostile import connect, data_of
from tests.faults.table import record
from tests.indexes import image_index
from tests.programs import ApiProcess, children_of, wait_until
from tests.sidecars import sidecar

#: Larger than what the sockets of both sides hold.
SIZE = 12 << 20


def commit(server: ApiProcess, png: bytes, prompt: str = "a castle") -> str:
    """Store an image as a worker would; returns its id."""
    data = data_of(server)
    spool = Spool(Layout(data))
    store = ImageStore(spool.layout, image_index(data))
    about = sidecar(spool.clock.issue(), png=png, prompt=prompt)
    store.commit(png, about)
    return about.id


def begin(server: ApiProcess, image: str) -> socket.socket:
    """Ask for an image and read no more than the beginning of the answer."""
    connection = connect(server)
    connection.sendall(f"GET /api/get_image/{image} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def test_who_reads_a_deleted_image_gets_all_of_it(server: ApiProcess) -> None:
    delete_while_reading(server, 5)


@pytest.mark.long
def test_200_readers_of_deleted_images_get_all_of_them(server: ApiProcess) -> None:
    delete_while_reading(server, 200)


def delete_while_reading(server: ApiProcess, tries: int) -> None:
    png, found = os.urandom(1 << 20) * (SIZE >> 20), []
    for number in range(tries):
        image = commit(server, png)
        with closing(begin(server, image)) as connection:
            assert httpx.delete(f"{server.base}/api/image/{image}").status_code == 200
            body = read_all(connection).partition(b"\r\n\r\n")[2]
        if body != png:
            found.append(f"{number}: {len(body)} of {len(png)} bytes")
        if server.get(f"/get_image/{image}").status_code != 404:
            found.append(f"{number}: still there")
    record("E11 DELETE while another client reads", tries, found)


def test_readers_that_go_away_leave_nothing_behind(server: ApiProcess) -> None:
    image = commit(server, b"x" * SIZE)
    (worker,) = children_of(server.pid)
    server.get("/models")
    before, lines = descriptors(worker), server.output().count("\n")
    connections = [begin(server, image) for _ in range(20)]
    assert descriptors(worker) >= before + 20
    for connection in connections:  # RST, not FIN
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    wait_until(lambda: descriptors(worker) <= before, about="the worker to let go of its readers")
    said = server.output().count("\n") - lines
    record("F15 clients gone during a download", 20, [f"{said} lines in the log"] if said > 20 else [])


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_lists_and_images_of_what_is_being_deleted(server: ApiProcess) -> None:
    read_while_deleting(server, 300)


@pytest.mark.long
def test_10000_lists_and_images_of_what_is_being_deleted(server: ApiProcess) -> None:
    read_while_deleting(server, 10_000)


def read_while_deleting(server: ApiProcess, reads: int) -> None:
    """One thread makes and deletes images, by hand and through the API, while the gallery and its images are read."""
    ended, found = threading.Event(), []

    def churn() -> None:
        store = ImageStore(Layout(data_of(server)))
        while not ended.is_set():
            images = [commit(server, b"x" * 1000, "short-lived") for _ in range(6)]
            for number, image in enumerate(images):
                if number % 2:
                    httpx.delete(f"{server.base}/api/image/{image}", timeout=60)
                else:
                    remove_by_hand(store, image)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        done = 0
        while done < reads:
            page = server.get("/gallery", params={"search": "short-lived", "limit": 20})
            images = page.json().get("images", [])
            answers = [page, *(server.get(f"/get_image/{image['id']}") for image in images[:5])]
            found += [f"{answer.url}: {answer.status_code}" for answer in answers if answer.status_code >= 500]
            done += len(answers)
    finally:
        ended.set()
        thread.join()
    record("E13 images vanish between list and look", done, found)


def remove_by_hand(store: ImageStore, image: str) -> None:
    """As docs/spool.md tells people: the sidecar first."""
    for path in (store.sidecar_path(image), store.path(image)):
        Path(path).unlink()
