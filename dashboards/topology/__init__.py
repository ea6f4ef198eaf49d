"""What dashboards show of how a fleet is laid out: pools that share a model, prefill and decode roles, gateways."""
