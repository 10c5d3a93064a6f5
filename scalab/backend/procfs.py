"""Which processes there are, by /proc."""

from __future__ import annotations

from pathlib import Path


def session_members(session: int) -> dict[int, int]:
    """Return a session's living processes, as process ids with their process groups.

    This reads a file of every process, so it is for rare occasions. Processes that come while it
    reads may be missed; zombies are left out.
    """
    members = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            text = (process / "stat").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        # "pid (name) state ppid pgrp session …", and the name may contain anything
        state, _parent, group, its_session = text[text.rindex(b")") + 2 :].split()[:4]
        if int(its_session) == session and state not in b"ZX":
            members[int(process.name)] = int(group)
    return members
