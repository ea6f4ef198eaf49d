"""What an advised change of a setting brings to a real engine: `python tests/benchmarks/bench_settings.py`. Prints figures; evaluates nothing.

An engine is started with a setting that hurts, and overloaded until there is advice. Another one with the advised value then gets the same
requests at the same moments, side by side with the first, so that a busy machine slows down both. Wants a quiet machine all the same: the
simulated gain is of the minute before.
"""

import asyncio

from overloaded_engine import FILLED, HURTS, IN_FLIGHT, Shape, filled, overload, overloaded, started
from real_engine import Engine

OVERLOAD = 1.6  # times as fast as answers


async def side_by_side(engine: Engine, other: Engine, shape: Shape, rate: float) -> list[float]:
    """Overload the first engine; returns the attainment of both."""
    await filled(other, shape, IN_FLIGHT, FILLED / 2)  # what its first requests load
    return await overload([engine, other], shape, rate, OVERLOAD)


def main() -> None:
    """Print the advice, and what it brought."""
    for setting, (limits, shape) in HURTS.items():
        with started(limits) as engine:
            most, advice = asyncio.run(overloaded(engine, shape, OVERLOAD))
            best = next((one for one in advice.changes if one.setting == setting), None)
            if best is None:
                print(f"{setting}: no advice: {advice}")
                continue
            with started(limits | {setting: int(best.proposed)}) as other:
                before, after = asyncio.run(side_by_side(engine, other, shape, most))
        gain = after - before
        print(
            f"{best.summary} Simulated gain {best.attainment_gain:.3f}, measured {gain:.3f} ({before:.3f} to {after:.3f}), "
            f"{gain / best.attainment_gain - 1:+.1%}; {most:.1f} requests/s at saturation before",
            flush=True,
        )


if __name__ == "__main__":
    main()
