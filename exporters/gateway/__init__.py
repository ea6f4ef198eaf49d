"""Requests counted at a gateway: `PlimsollMiddleware` is what an application adds."""

from plimsoll.exporters.gateway.middleware import PlimsollMiddleware

__all__ = ["PlimsollMiddleware"]
