from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from scalab.errors import ConfigError
from scalab.fakedev.files import device_files, listening_socket

from .helpers import names_in


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_socket_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int, umask: int) -> None:
    path = tmp_path / "s"
    before = os.umask(umask)
    try:
        with listening_socket(str(path), mode):
            assert mode_of(path) == mode
            connect(path)
    finally:
        os.umask(before)
    assert not path.exists()


def test_it_is_never_open_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    chmod = os.chmod

    def looking(path: str, mode: int) -> None:
        seen.append(mode_of(Path(path)))
        chmod(path, mode)

    monkeypatch.setattr(os, "chmod", looking)
    before = os.umask(0)
    try:
        with listening_socket(str(tmp_path / "s"), 0o660):
            pass
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with listening_socket(str(path), 0o600):
        connect(path)


def test_a_living_exporter_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_socket(str(path), 0o600):
        with pytest.raises(ConfigError, match="another exporter listens there"):
            with listening_socket(str(path), 0o600):
                pass
        connect(path)


def test_a_busy_exporter_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting,
    ):
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ConfigError, match="another exporter listens there"):
            with listening_socket(str(path), 0o600):
                pass
        assert path.exists()


def test_no_other_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="there is a file, which is no socket"):
        with listening_socket(str(path), 0o600):
            pass
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "why"),
    [("no/such/s", "No such file or directory"), ("x" * 200, "AF_UNIX path too long")],
)
def test_places_where_nobody_can_listen(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        with listening_socket(str(tmp_path / name), 0o600):
            pass


def test_the_socket_of_a_successor_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_socket(str(path), 0o600):
        path.unlink()
        path.touch()
    assert path.exists()


def test_device_files_come_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dri"
    with device_files(str(folder), ["a", "b"]):
        assert names_in(folder) == ["a", "b"]
        (folder / "a").unlink()
    assert not names_in(folder)


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a device")
    with device_files(str(tmp_path), ["a", "b"]):
        assert names_in(tmp_path) == ["a", "b"]
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "a device"


def test_files_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't make device files"):
        with device_files(str(tmp_path / "file"), ["a"]):
            pass
    with pytest.raises(ConfigError, match="File name too long"):
        with device_files(str(tmp_path / "dir"), ["a", "b" * 300]):
            pass
    assert not names_in(tmp_path / "dir")


def test_an_error_of_the_body_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"):
        with device_files(str(tmp_path), ["a"]), listening_socket(str(tmp_path / "s"), 0o600):
            raise OSError("mine")
    assert not names_in(tmp_path)
