"""The machine of the dispatcher in memory, against one that shares its queues: equal answers.

Whatever may happen to queues in memory happens to queues in a store, of which there is only one
frontend and which answers at once; the same oracle checks what comes of it. Left out is the end of
a frontend, at which clients of shared queues go elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from scalab.queueing.dispatch import OnClientGone
from tests.queueing.oracle import Oracle
from tests.queueing.test_dispatch_machine import QUEUES, Queues
from tests.sharedqueue.pumped import Engine, ModelEngine, Pumped, RedisEngine
from tests.sharedqueue.servers import Talk, redis_server


class SharedQueues(Queues):
    """One frontend's life, over a store."""

    talk: ClassVar[Talk | None] = None

    def make_dispatcher(
        self, queue_max: int, max_attempts: int, on_client_gone: OnClientGone
    ) -> Any:
        engine: Engine = ModelEngine()
        if self.talk is not None:
            self.talk("FLUSHALL")
            engine = RedisEngine(self.talk)
        oracle: Oracle = self.oracle
        return Pumped(
            engine, QUEUES, queue_max=queue_max, max_attempts=max_attempts,
            on_client_gone=on_client_gone, now=lambda: oracle.now,
        )  # fmt: skip

    def drain(self) -> None:
        """No rule any more."""


@pytest.fixture
def talk() -> Iterator[Talk]:
    with redis_server() as server:
        talk = server.talk()
        yield talk
        talk.close()


def run(machine: type[Queues], examples: int) -> None:
    most = max(examples, settings().max_examples // 2)
    suppressed = [HealthCheck.too_slow]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=most, suppress_health_check=suppressed)
    )


@pytest.mark.timeout(600)
def test_over_the_model_of_the_store() -> None:
    run(SharedQueues, 150)


@pytest.mark.timeout(600)
def test_over_a_real_store(talk: Talk) -> None:
    class InRedis(SharedQueues):
        pass

    InRedis.talk = talk
    run(InRedis, 40)
