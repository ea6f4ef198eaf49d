"""The planner beside published measurements of whole servers: a table, the share of numbers inside the bands, and the bands' width.

python tests/benchmarks/bench_planner.py [checked|fitted]
"""

import sys
from collections import defaultdict

from published import points, width


def main(split: str) -> None:
    """Print one row per published number."""
    inside: dict[str, list[bool]] = defaultdict(list)
    bands: dict[str, list[tuple[float, float]]] = defaultdict(list)
    print(
        "| Model, weights | Replica | Engine | In flight | Tokens in/out | What | Measured | Band | Inside |\n"
        + "|---" * 9
        + "|"
    )
    for point in points():
        if point.split != split:
            continue
        for what, measured, band in point.numbers(point.estimated()):
            within = band[0] <= measured <= band[1]
            inside[what].append(within)
            bands[what].append(band)
            name = f"{point.model.rpartition('/')[2]}, {point.weight_bits} bits"
            place = f"{point.gpus} x {point.gpu}"
            load = f"{point.concurrency} | {point.input_tokens:,}/{point.output_tokens:,}"
            form = ",.0f" if what == "tokens/s" else ",.1f"
            texts = [format(value, form) for value in (measured, *band)]
            print(
                f"| {name} | {place} | {point.engine} | {load} | {what} | {texts[0]} | {texts[1]} to {texts[2]} | {'yes' if within else '**no**'} |",
                flush=True,
            )
    print()
    for what, found in inside.items():
        print(f"{what}: {sum(found)} of {len(found)} inside, median width {width(bands[what]):.2f}")
    every = [one for found in inside.values() for one in found]
    print(
        f"all: {sum(every)} of {len(every)} inside ({sum(every) / len(every):.0%}), median width {width([one for found in bands.values() for one in found]):.2f}"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "checked")
