"""Fuzz one target: ``python -m tests.fuzz TARGET CORPUS [OPTION OF LIBFUZZER...]``.

Needs atheris. A finding is written to ``tests/fuzz/findings/TARGET/``, from where the tests take
it from then on.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

from tests.hostile.mutate import mutated

with atheris.instrument_imports(include=["scalab"]):
    from .seeds import SEEDS
    from .targets import TARGETS

FINDINGS = Path(__file__).with_name("findings")


def main(name: str, corpus: Path, *options: str) -> None:
    """Fuzz the target called ``name``, from its seeds and what the corpus has grown to."""
    target, findings = TARGETS[name], FINDINGS / name
    findings.mkdir(parents=True, exist_ok=True)  # where libFuzzer writes to
    corpus.mkdir(parents=True, exist_ok=True)
    sound = list(SEEDS[name]())
    for i, seed in enumerate(sound):
        (corpus / f"seed-{i:03}").write_bytes(seed)

    def mutate(data: bytes, size: int, chance: int) -> bytes:
        """Half of all mutations know what lines, texts and numbers are."""
        rng = random.Random(chance)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, size))
        return mutated(data, rng, sound)[:size]

    argv = [sys.argv[0], f"-artifact_prefix={findings}/", "-timeout=20", *options, str(corpus)]
    atheris.Setup(argv, target, custom_mutator=mutate)
    atheris.Fuzz()


main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
