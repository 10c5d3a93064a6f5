"""The record of a run that goes on, as fast as a test wants."""

from __future__ import annotations

import attrs

from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import MEASURE, Interval
from scalab.measure.tally import Tally
from scalab.measure.window import Window
from scalab.protocol.messages import Reply
from scalab.runfile.reading import Run, RunBuilder
from tests.report.sample_runs import header


@attrs.define
class Growing:
    """The record of a run that goes on."""

    builder: RunBuilder = attrs.Factory(lambda: RunBuilder(header()))
    seconds: int = 0
    window: int = 0

    def run(self) -> Run:
        return self.builder.run()

    @property
    def measured(self) -> Window:
        return self.builder.measured(self.window)

    def grow(self, seconds: int = 1, pods: int = 3, phase: str = MEASURE) -> None:
        for _ in range(seconds):
            at = float(self.seconds)
            self.seconds += 1
            self.builder.add(
                Interval(
                    from_s=at,
                    to_s=at + 1,
                    phase=phase,
                    window=self.window,
                    level_from=8.0,
                    level_to=8.0,
                    queues={"media": counted(pods)},
                )
            )


def counted(pods: int) -> Aggregate:
    tally = Tally(0.0)
    tally.sent(n=pods)
    for i in range(pods):
        reply = Reply(
            node="n", pod=f"pod-{i}", device=f"card{i}", outcome="success", runtime_s=0.1 + i / 1000
        )
        tally.completed(reply, 0.2, 0.0)
    return tally.current()[""]
