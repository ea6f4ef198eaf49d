"""Request metrics at a gateway. Applications add `PlimsollMiddleware`."""

from plimsoll.exporters.gateway.middleware import PlimsollMiddleware

__all__ = ["PlimsollMiddleware"]
