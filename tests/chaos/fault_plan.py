"""What happens when: a plan drawn from a seed, before the run begins."""

import random
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from chaos_stack import World
from fault_kinds import KINDS, Kind

EVERY_SECONDS = 9.0  # a fault begins so often, on average
SHORT = 180.0  # seconds: in a run as short as this no fault lasts long
BREATH = 12.0  # seconds that the same part is left alone after a fault
ENGINE_KILLS = 2  # of one replica: the third restart within an hour is a page by right


class Fault(NamedTuple):
    """One fault: begins `at` seconds after the start and lasts `seconds`."""

    at: float
    kind: Kind
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:5.0f} s  {self.kind.name} {self.target} for {self.seconds:.0f} s"


def _resource(kind: Kind, target: str) -> str:
    """Return what a fault has to itself: two faults of one part at once would hide each other."""
    return f"proxy of {target}" if kind.name.startswith("store answers") else target


def draw(
    world: World, seed: int, seconds: float, kept: Collection[str] = (), only: Collection[str] = ()
) -> list[Fault]:
    """Draw the faults of `seconds`. `kept` are engines that are left alone; `only` limits the kinds, by name."""
    rng = random.Random(seed)  # noqa: S311 - a plan, no secret
    longest, every = (15.0, EVERY_SECONDS / 2) if seconds <= SHORT else (90.0, EVERY_SECONDS)
    kinds = [kind for kind in KINDS if (not only or kind.name in only) and kind.seconds[0] <= longest]
    deck: list[tuple[Kind, list[str]]] = [
        (kind, targets) for kind in kinds if (targets := [one for one in kind.targets(world) if one not in kept])
    ]
    free: dict[str, float] = {}
    kills: Counter[str] = Counter()
    found: list[Fault] = []
    at = 5.0
    while at < seconds - 5 and deck:
        for kind, targets in rng.sample(deck, len(deck)):  # every kind once before any comes again
            target = rng.choice(targets)
            lasts = round(rng.uniform(kind.seconds[0], min(kind.seconds[1], longest)), 1)
            resource = _resource(kind, target)
            too_often = kind.name == "engine killed" and kills[target] >= ENGINE_KILLS
            if free.get(resource, 0) <= at and at + lasts <= seconds and not too_often:
                found.append(Fault(round(at, 1), kind, target, lasts))
                free[resource] = at + lasts + BREATH
                kills[target] += kind.name == "engine killed"
                at += rng.uniform(0.3, 1.7) * every
        at += 1
    return found
