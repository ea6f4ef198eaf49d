"""The indicators, one file each. A new one is a file and its name in the line below."""

from plimsoll.slo.sli.indicators.availability import Availability
from plimsoll.slo.sli.indicators.goodput import Goodput
from plimsoll.slo.sli.indicators.latency import RequestDuration, TimePerOutputToken, TimeToFirstToken
from plimsoll.slo.spec.indicator import register

register(TimeToFirstToken, TimePerOutputToken, RequestDuration, Availability, Goodput)
