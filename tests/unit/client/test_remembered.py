"""The login: kept for its owner alone, shown to no other server, and asked for where there is a terminal."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from client.command_line import main
from client.exit_codes import Exit
from client.remembered import login_file
from tests.unit.client.contract_server import ContractServer, contract_server


@pytest.fixture
def guarded(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> ContractServer:
    """A server that is named by the login alone; it notes the keys that it is shown."""
    monkeypatch.delenv("CYBERIMAGE_URL")
    return studio


def log_in(server: ContractServer, key: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{key}\n".encode())))
    return main(["login", server.url])


def test_a_login_is_used_from_then_on(
    guarded: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log_in(guarded, "secret", monkeypatch) == Exit.DONE
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(login_file().parent.stat().st_mode) == 0o700
    guarded.answers["GET /api/me"] = (200, {"key": "mine", "scopes": ["read", "submit"]})
    assert log_in(guarded, "secret", monkeypatch) == Exit.DONE
    assert "with your key (for read, submit)" in capsys.readouterr().out
    assert main(["queue"]) == Exit.DONE
    assert guarded.keys[-1] == "Bearer secret"
    assert main(["logout"]) == Exit.DONE
    assert not login_file().exists()
    assert main(["logout"]) == Exit.DONE


def test_the_key_goes_to_no_other_server(guarded: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log_in(guarded, "secret", monkeypatch) == Exit.DONE
    with contract_server() as other:
        other.answers["GET /api/queue"] = (200, {"pending": 0})
        assert main(["queue", "--url", other.url]) == Exit.DONE
        monkeypatch.setenv("CYBERIMAGE_URL", other.url)
        assert main(["queue"]) == Exit.DONE
        assert other.keys == [None, None]
    assert main(["queue", "--url", f"{guarded.url}/api/"]) == Exit.DONE
    assert guarded.keys[-1] == "Bearer secret"
    monkeypatch.setenv("CYBERIMAGE_API_KEY", "other")
    assert main(["queue", "--url", guarded.url]) == Exit.DONE
    assert guarded.keys[-1] == "Bearer other"


def test_what_does_not_work_is_not_kept(
    guarded: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded.answers["GET /api/queue"] = (401, {"status": "error", "message": "This key is not known."})
    assert log_in(guarded, "wrong", monkeypatch) == Exit.REJECTED
    assert "This key is not known." in capsys.readouterr().err
    assert not login_file().exists()


@pytest.mark.parametrize(("content", "mode"), [(b"{", 0o600), (b"[]", 0o600), (b'{"url": "http://a"}', 0o644)])
def test_a_login_that_is_damaged_or_open_is_named(
    guarded: ContractServer,
    content: bytes,
    mode: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login_file().parent.mkdir(parents=True)
    login_file().write_bytes(content)
    login_file().chmod(mode)
    assert main(["queue"]) == Exit.USAGE
    assert str(login_file()) in capsys.readouterr().err
    assert log_in(guarded, "secret", monkeypatch) == Exit.DONE
    assert main(["queue"]) == Exit.DONE


def test_on_a_terminal_it_is_asked(
    guarded: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard(f"{guarded.url}\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed")
    assert main(["login"]) == Exit.DONE
    seen = capsys.readouterr()
    assert "Address of the server [http://127.0.0.1:5050]" in seen.err
    assert "typed" not in seen.out + seen.err
    assert guarded.keys[-1] == "Bearer typed"


def test_without_a_home_all_but_the_last_job_works(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert main(["a red house", "--detach"]) == Exit.DONE
    assert main(["show", "@last"]) == Exit.NOT_FOUND
    assert log_in(studio, "secret", monkeypatch) == Exit.FILE
