"""What several modules of alerts share: templates of labels and numbers, and how a thing is matched with its pool."""

from collections.abc import Callable

from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Spec

VALUE = "{{ $value | humanize }}"
PERCENT = "{{ $value | humanizePercentage }}"
SECONDS = "{{ $value | humanizeDuration }}"
REPLICA = "{{ $labels.replica }}"
INSTANCE = "{{ $labels.instance }}"
GPU = "{{ $labels.uuid }}"
# Narrows a vector to what belongs to one pool, or to none: (vector, labels to match on) -> vector.
OwnedHardware = Callable[[str, str], str]


def of(metric: Metric, model: str, part: str = "", **labels: str) -> str:
    """Select a metric (or `part`, one of its sample names) of one model."""
    values = {"model": model, **labels}
    return str(Selector(part or metric.name, tuple((name, tuple(value.split("|"))) for name, value in values.items())))


def served(on: str, model: str = "") -> str:
    """What served the model (or any model) within the last day: what is down says no model any more."""
    info = of(c.REPLICA_INFO, model) if model else str(c.REPLICA_INFO)
    return f"group by ({on}) (last_over_time({info}[1d]))"


def of_pool(model: str) -> OwnedHardware:
    """Keep what served the model."""
    return lambda vector, on: f"{vector}\nand on ({on}) {served(on, model)}"


def of_no_pool(vector: str, on: str) -> str:
    """Keep what never said which model it serves."""
    return f"{vector}\nunless on ({on}) {served(on)}"


def owners(spec: Spec) -> list[tuple[str, OwnedHardware]]:
    """Every pool with what narrows a vector to it; last, without a name, what is in none."""
    return [*((pool.name, of_pool(pool.model)) for pool in spec.pools), ("", of_no_pool)]


def answer(query: str, how: str = "humanize") -> str:
    """Template that shows a query's answer, or says that it is unknown."""
    return f"{{{{ with query `{query}` }}}}{{{{ . | first | value | {how} }}}}{{{{ else }}}}unknown{{{{ end }}}}"


def one_of(label: str, texts: dict[str, str], other: str) -> str:
    """Template that shows the text of a label's or `$value`'s value."""
    begin = "".join(
        f'{{{{ {"else if" if index else "if"} eq {label} "{value}" }}}}{text}'
        for index, (value, text) in enumerate(texts.items())
    )
    return f"{begin}{{{{ else }}}}{other}{{{{ end }}}}"
