"""What an advised change of a setting brings to a real engine: `python tests/benchmarks/bench_settings.py`. Prints figures; evaluates nothing.

An engine is started with a setting that hurts, and overloaded until there is advice. Another one with the advised value then gets the same
requests at the same moments, side by side with the first, so that a busy machine slows down both; the simulated gain is of that time, too.
Wants a quiet machine all the same.
"""

import asyncio

from overloaded_engine import (
    FILLED,
    HURTS,
    IN_FLIGHT,
    Shape,
    Watched,
    advised,
    filled,
    overload,
    overloaded,
    slot,
    started,
)
from plimsoll.slo.capacity.recommendation.settings.models import SettingChange, SettingsAdvice
from real_engine import Engine

OVERLOAD = 1.6  # times as fast as answers


async def side_by_side(watched: Watched, other: Engine, shape: Shape) -> tuple[list[float], SettingsAdvice]:
    """Overload the watched engine; returns the attainment of both, and what its pages of that time lead to."""
    await filled(other, shape, IN_FLIGHT, FILLED / 2)  # what its first requests load
    follow = asyncio.create_task(watched.follow())
    rate = await filled(watched.engine, shape, IN_FLIGHT, FILLED)
    since = await slot()
    attained = await overload([watched.engine, other], shape, rate, OVERLOAD)
    follow.cancel()
    return attained, advised(list(watched.series.values()), since)


def main() -> None:
    """Print the advice, and what it brought."""
    for setting, (limits, shape) in HURTS.items():
        with started(limits) as engine:
            watched = Watched(engine)
            most, advice = asyncio.run(overloaded(watched, shape, OVERLOAD))
            best = _of(advice, setting)
            if best is None:
                print(f"{setting}: no advice: {advice}")
                continue
            print(f"{best.summary} {most:.1f} requests/s at saturation before", flush=True)
            with started(limits | {setting: int(best.proposed)}) as other:
                (before, after), again = asyncio.run(side_by_side(watched, other, shape))
        simulated, gain = _of(again, setting), after - before
        expected = simulated.attainment_gain if simulated else 0.0
        print(f"  simulated gain {expected:.3f}, measured {gain:.3f} ({before:.3f} to {after:.3f})", flush=True)


def _of(advice: SettingsAdvice, setting: str) -> SettingChange | None:
    return next((one for one in advice.changes if one.setting == setting), None)


if __name__ == "__main__":
    main()
