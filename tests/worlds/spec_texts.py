"""Parts of objectives files."""

# Document G, section 6: two H200 and their host, middle of its ranges.
OWNED = "owned: {capex_usd: 150000, years: 3, kilowatts: 2, pue: 1.4, usd_per_kwh: 0.12, colocation_usd: 11500, people_usd: 50000}"
