"""What an advised change of a setting brings to a real engine: `python tests/benchmarks/bench_settings.py`. Prints figures; evaluates nothing.

An engine is started with a setting that hurts, and gets more requests than it can answer. Another one with the advised value then gets as
many. Wants a quiet machine: what slows down one of them only is taken for an effect of the setting.
"""

import asyncio

from overloaded_engine import FILLED, HURTS, IN_FLIGHT, Shape, Watched, filled, overload, overloaded, slot, started
from real_engine import Engine

OVERLOAD = 2.5  # times as fast as answers: less, and the attainment hangs on the speed of the machine


async def changed(engine: Engine, shape: Shape, rate: float) -> float:
    """Return the attainment of another engine at the same rate."""
    await filled(engine, shape, IN_FLIGHT, FILLED / 2)  # what its first requests load
    await slot()
    return await overload(engine, shape, rate)


def main() -> None:
    """Print the advice, and what it brought."""
    for setting, (limits, shape) in HURTS.items():
        with started(limits) as engine:
            rate, before, advice = asyncio.run(overloaded(Watched(engine), shape, OVERLOAD))
        best = next((one for one in advice.changes if one.setting == setting), None)
        if best is None:
            print(f"{setting}: no advice at {rate:.1f} requests/s (attainment {before:.3f}): {advice}", flush=True)
            continue
        with started(limits | {setting: int(best.proposed)}) as other:
            after = asyncio.run(changed(other, shape, rate))
        told, gain = best.attainment_gain, after - before
        print(f"{best.summary} At {rate:.1f} requests/s:", flush=True)
        print(f"  simulated gain {told:.3f}, measured {gain:.3f} ({before:.3f} to {after:.3f})", flush=True)


if __name__ == "__main__":
    main()
