"""An example for Grafana's Infinity data source: budgets and reviews from the SLO service's API, instead of from Prometheus."""
