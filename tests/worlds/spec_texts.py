"""Parts of objectives files."""

# Document G, section 6: two H200 and their host, middle of its ranges.
OWNED = "owned: {capex_usd: 150000, amortization_years: 3, power_kw: 2, pue: 1.4, electricity_usd_per_kwh: 0.12, colocation_usd_per_year: 11500, staff_usd_per_year: 50000}"
