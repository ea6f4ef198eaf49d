"""Gateways and routers whose metrics endpoints are supported. Each module registers its mapping, as engines do.

A gateway's requests are all that it was sent, also those that it rejected; its failures are among them. Which status is the
client's fault is data of the mapping: a reason that is a 4xx status or `client_closed` is, `overloaded` is ours.
"""
