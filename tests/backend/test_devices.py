from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalab.backend.devices import Slot, find_devices
from scalab.errors import ConfigError


@pytest.fixture
def dri(tmp_path: Path) -> Path:
    for name in ("renderD129", "renderD128", "card0"):
        (tmp_path / name).touch()
    (tmp_path / "render-by-path").mkdir()
    return tmp_path


def test_one_slot_per_file(dri: Path) -> None:
    """Files are sorted, and directories are none."""
    slots = find_devices(f"{dri}/render*", 1)

    assert slots == [
        Slot(0, f"{dri}/renderD128", "renderD128"),
        Slot(1, f"{dri}/renderD129", "renderD129"),
    ]


def test_several_slots_per_file_come_in_rounds(dri: Path) -> None:
    """Filling slots in order spreads work over the devices first."""
    slots = find_devices(f"{dri}/renderD*", 2)

    assert [s.name for s in slots] == ["renderD128", "renderD129"] * 2
    assert [s.index for s in slots] == [0, 1, 2, 3]


def test_recursive_pattern(dri: Path) -> None:
    (dri / "render-by-path" / "card0").touch()
    assert [s.name for s in find_devices(f"{dri}/**/card0", 1)] == ["card0", "card0"]


@pytest.mark.parametrize("pattern", ["", "/nowhere/at/all*"])
def test_without_a_device(pattern: str) -> None:
    """There are as many slots as one device would have."""
    assert find_devices(pattern, 3) == [Slot(0), Slot(1), Slot(2)]


def test_name_is_printable(tmp_path: Path) -> None:
    """It goes into a reply, and a reply is JSON."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff\n")).touch()

    [slot] = find_devices(f"{tmp_path}/*", 1)

    assert slot.name == r"d\udcff\n"
    assert Path(slot.path).exists()


def test_no_slots() -> None:
    with pytest.raises(ConfigError, match="at least 1 slot, not 0"):
        find_devices("", 0)
