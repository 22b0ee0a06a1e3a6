"""A data directory that is spread over file systems is refused at once, not after drawing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import DataDirectoryError
from core.layout import Layout
from jobs.spool import Spool
from tests.programs import free_port
from tests.runner_harness import RunnerHarness

PLACES = ["outputs", "outputs/2026", "outputs/2026/11/22", "spool", "spool/incoming", "spool/completed", "spool/tmp",
          "spool/deleting", "previews"]  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with an image's folder."""
    data = tmp_path / "data"
    Spool(Layout(data)).prepare()
    (data / "outputs" / "2026" / "11" / "22").mkdir(parents=True)
    return data


@pytest.mark.parametrize("place", PLACES)
def test_a_link_to_another_file_system_is_refused(data: Path, elsewhere: Path, place: str) -> None:
    path = data / place
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(elsewhere)
    with pytest.raises(DataDirectoryError, match="another file system") as error:
        Spool(Layout(data)).prepare()
    assert str(error.value).count(". ") <= 1


@pytest.mark.parametrize("place", PLACES)
def test_a_mount_of_the_same_file_system_is_refused(data: Path, tmp_path: Path, place: str) -> None:
    source = tmp_path / "volume"
    source.mkdir()
    (data / place).mkdir(exist_ok=True)
    code = (
        "import sys; from pathlib import Path; from core.errors import DataDirectoryError\n"
        "from core.layout import Layout; from jobs.spool import Spool\n"
        "try: Spool(Layout(Path(sys.argv[1]))).prepare()\n"
        "except DataDirectoryError: sys.exit(78)"
    )
    shell = 'mount --bind "$1" "$2" || exit 99; exec "$3" -c "$4" "$5"'
    command = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", shell, "sh"]
    arguments = [str(source), str(data / place), sys.executable, code, str(data)]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 78):
        pytest.skip(f"nothing can be mounted here: {ended.stderr.strip()}")
    assert ended.returncode == 78


def test_a_link_within_the_file_system_is_fine(data: Path, tmp_path: Path) -> None:
    (data / "outputs").rename(tmp_path / "pictures")
    (data / "outputs").symlink_to(tmp_path / "pictures")
    Spool(Layout(data)).prepare()


def test_both_programs_refuse_with_a_sentence(bare_harness: RunnerHarness, elsewhere: Path) -> None:
    outputs = bare_harness.data / "outputs"
    outputs.rmdir()
    outputs.symlink_to(elsewhere)
    runner = bare_harness.stub_runner()
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:http_api.gunicorn_conf", "http_api.app:get_app()"]
    for command in (runner.command, gunicorn):
        environment = {**runner.environment, "PORT": str(free_port())}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 78
        assert "another file system" in ended.stderr
        assert "Traceback" not in ended.stderr
