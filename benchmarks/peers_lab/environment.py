"""The peers' own environment: a virtual environment in a cache, and servers found on PATH."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SERVERS = {
    "nats-server": "apt-get install nats-server",
    "redis-server": "apt-get install redis-server",
}


class NotThereError(Exception):
    """Something that a peer needs is not there; the text tells what to do."""


def default_cache() -> Path:
    """Return where the environment is kept unless told otherwise."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "scalab-benchmarks"


def prepare(cache: Path) -> Path:
    """Make the environment, unless an earlier run has.

    Args:
        cache: Where; another version of the requirements or of Python gets another folder in it.

    Returns:
        Its Python.

    Raises:
        NotThereError: It can't be made.
    """
    wanted = f"{sys.version} {sys.executable}".encode() + REQUIREMENTS.read_bytes()
    folder = cache / f"peers-{hashlib.sha256(wanted).hexdigest()[:12]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    print(f"installing the peers into {folder}", file=sys.stderr)
    try:
        venv.create(folder, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*install, "--requirement", REQUIREMENTS], check=True, capture_output=True, text=True
        )
        complete.touch()
    except subprocess.CalledProcessError as exc:
        lines = str(exc.stderr or exc.stdout or exc).strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise NotThereError(f"the peers' environment can't be made: {errors[-1]}") from None
    except OSError as exc:
        raise NotThereError(f"the peers' environment can't be made in {folder}: {exc}") from None
    return python


def find_server(name: str) -> str:
    """Return where a server is.

    Raises:
        NotThereError: It is not on PATH.
    """
    # Debian's servers are in sbin, which is not on everybody's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    if (found := shutil.which(name, path=path)) is None:
        raise NotThereError(f"{name} is not on PATH: {SERVERS[name]}")
    return found


def version_of(server: str) -> str:
    """Return what a server says that it is."""
    told = subprocess.run([server, "--version"], check=False, capture_output=True, text=True)
    return told.stdout.strip().partition("\n")[0]


def requirements() -> list[str]:
    """Return what is installed for the peers, and in which version."""
    lines = REQUIREMENTS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
