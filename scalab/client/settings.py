"""What a client is told at its start."""

from __future__ import annotations

import attrs

from scalab.errors import ConfigError
from scalab.protocol.codec import encode_classic, encode_frame, item_too_long
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import Request
from scalab.runtime.net import Address

DEFAULT_FRONTEND = Address("localhost", 9997)
DEFAULT_CONTROL_ADDR = Address("localhost", 9996)
LONGEST_ID = 32 * "x"
"""As long as an id of ours ever gets."""


@attrs.frozen(kw_only=True)
class ClientSettings:
    """Validated once, never changed; what the control port changes is in the load."""

    frontend: Address = DEFAULT_FRONTEND
    queue: str = "sleep"
    args: tuple[str, ...] = ()
    limit_s: float = 0.0
    """Run-time limit of each request; 0 = the backend's own."""
    parallel: int = 1
    parallel_max: int = 0
    """0 = as many as ``parallel``, but 1 at least."""
    delay_s: float = 0.0
    """Time between a reply and the next request of the same lane."""
    duration_s: float = 0.0
    """0 = until stopped."""
    requests: int = 0
    """0 = without end."""
    control_addr: Address | None = DEFAULT_CONTROL_ADDR
    classic: bool = False
    """One connection a request, to work with the classic frontend."""
    grace_s: float = 0.0
    """Time that outstanding requests have to be answered at the end."""
    connect_timeout_s: float = 5.0
    reconnect_timeout_s: float = 300.0
    verbose: bool = False

    @property
    def most_parallel(self) -> int:
        """The limit of the parallelism while the client runs."""
        return max(self.parallel_max, self.parallel, 1)

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not self.queue:
            raise ConfigError("--queue must not be empty")
        if 0 < self.parallel_max < self.parallel:
            text = f"--parallel {self.parallel} is more than --parallel-max {self.parallel_max}"
            raise ConfigError(text)
        self._check_request()

    def _check_request(self) -> None:
        request = Request(self.queue, list(self.args), self.limit_s)
        try:
            if self.classic:
                encode_classic(request)
            else:
                request.id = LONGEST_ID
                encode_frame(request)
        except ProtocolError as exc:
            raise ConfigError(f"the arguments can't be sent: {exc}") from None
        if item_too_long(request.args, self.limit_s):
            raise ConfigError("the arguments can't be sent: message longer than 1024 bytes")
