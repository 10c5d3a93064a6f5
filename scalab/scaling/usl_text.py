"""What a fitted scalability law says, in words."""

from __future__ import annotations

from scalab.measure.figures import format_rate

from .usl_law import Fit, NoFit, Ranged

_USELESS = 1.0
"""A ratio's interval as wide as this says nothing: from no gain at all to the ideal one."""


def describe(fit: Fit | NoFit) -> str:
    """Return what a person would say of the fit, in one line.

    What is lost with the most workers measured and to what, what the next doubling will give,
    where the peak is, and whether the throughput is too good to be true.
    """
    if isinstance(fit, NoFit):
        return fit.reason
    parts = [f"{_lost(fit)}; {_next(fit)}", _peak(fit)]
    if fit.superlinear is not None:
        parts.append(
            f"{_workers(fit.superlinear)} gave more than ideal: "
            f"check warm-up, clocks and caches of the step with {_workers(fit.sizes[0])}"
        )
    return "; ".join(parts)


def parameters(fit: Fit) -> str:
    """Return the law's parameters with their intervals, in one line."""
    bound = " at its bound"
    return "  ".join(
        [
            f"sigma {_ranged(fit.sigma, '.3g')}{bound * fit.sigma.at_bound}",
            f"kappa {_ranged(fit.kappa, '.3g')}{bound * fit.kappa.at_bound}",
            f"gamma {_rates(fit.gamma)}",
        ]
    )


def _lost(fit: Fit) -> str:
    most = fit.sizes[-1]
    loss = fit.loss(most)
    # Rounded one by one, so that they add up.
    contention, coherency = round(100 * loss.contention), round(100 * loss.coherency)
    if not contention + coherency:
        return f"at {_workers(most)} less than 1 % of ideal is lost"
    shares = {"contention": contention, "coherency": coherency}
    causes = ", ".join(f"{share} {cause}" for cause, share in shares.items() if share)
    total = f"{min(contention + coherency, 99)} %"
    if contention + coherency > 99:
        total = f"more than {total}"
    return f"at {_workers(most)} {total} of ideal is lost: {causes}"


def _next(fit: Fit) -> str:
    found = fit.doubling()
    if found.low is None or found.high is None:
        return "how sure that is takes a fourth number of workers to tell"
    if found.high - found.low >= _USELESS:
        return "that is too few steps, or too noisy ones, to predict the next doubling"
    return (
        f"the next doubling is predicted to give "
        f"{found.value:.2f}x [{found.low:.2f}-{found.high:.2f}]"
    )


def _peak(fit: Fit) -> str:
    peak, most = fit.peak, fit.sizes[-1]
    if peak is None or peak.low is None or peak.high is None:
        if fit.throughput(most) < max(map(fit.throughput, fit.sizes)):
            return f"the throughput peaks before {_workers(most)}, but where is not sure"
        return f"no peak seen up to {_workers(most)}"
    return f"the throughput peaks at {_workers(round(peak.value))} [{peak.low:.0f}-{peak.high:.0f}]"


def _ranged(figure: Ranged, form: str) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:{form}}"
    return f"{figure.value:{form}} [{figure.low:{form}}, {figure.high:{form}}]"


def _rates(figure: Ranged) -> str:
    if figure.low is None or figure.high is None:
        return format_rate(figure.value)
    return f"{format_rate(figure.value)} [{format_rate(figure.low)}, {format_rate(figure.high)}]"


def _workers(n: int) -> str:
    return f"{n} worker" if n == 1 else f"{n} workers"
