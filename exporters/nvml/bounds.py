"""Physically possible values by unit. Drivers return all ones, or garbage, where a sensor doesn't work."""

# By the end of a metric's name: lowest and highest possible value, in its unit. The first match counts.
_BY_END = (
    ("_ratio", 0, 1.05),  # a mean of two samples may exceed 1 by its rounding
    ("_margin_celsius", -150, 150),
    ("_margin_threshold_celsius", -150, 150),
    ("_celsius", -55, 150),
    ("_watts", 0, 5_000),  # the largest board today draws 1,400 W
    ("_hertz", 0, 10e9),
    ("_bytes_total", 0, 2.0**63),
    ("_joules_total", 0, 1e13),  # 300 years at 1 kW
    ("_cycles_total", 0, 2.0**63),
    ("_seconds_total", 0, 1e10),
    ("_total", 0, 2.0**53),
    ("_bytes", 0, 2.0**47),  # 128 TiB
    ("_link_width", 0, 32),
    ("_link_width_max", 0, 32),
    ("_generation", 0, 15),
    ("_generation_max", 0, 15),
    ("_recovery_action", 0, 255),
)


class _Bounds(dict[str, tuple[float, float]]):
    """Keyed by name, as Python stores a name's hash, and computes a metric's: every value of a scrape is looked up."""

    def __missing__(self, name: str) -> tuple[float, float]:
        found = ((low, high) for end, low, high in _BY_END if name.endswith(end))
        self[name] = next(found, (-(2.0**31), 2.0**32 - 2))  # else a plain number that isn't all ones
        return self[name]


# The lowest and highest possible value of a metric, by its name.
bounds = _Bounds()
