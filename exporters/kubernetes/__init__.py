"""Joins GPUs with the containers of Kubernetes that have them."""
