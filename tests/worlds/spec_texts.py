"""Parts of objectives files."""

# Document G, section 6: two H200 and their host, middle of its ranges.
OWNED = "owned: {capex_usd: 150000, amortization_years: 3, power_kw: 2, pue: 1.4, electricity_usd_per_kwh: 0.12, colocation_usd_per_year: 11500, staff_usd_per_year: 50000}"

_ONE_POOL = """
version: plimsoll/v1
pools:
  - name: chat
    model: m
    node: {gpu: H100-80GB, gpus: 2}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
objectives:
"""


def one_pool(*objectives: str) -> str:
    """An objectives file with the pool `chat`; each objective is its fields but the pool, such as `id: up, target: 99%`."""
    return _ONE_POOL + "".join(f"  - {{pool: chat, {one}}}\n" for one in objectives)
