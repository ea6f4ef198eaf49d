"""Every Plimsoll metric: name, kind, labels and help. No file outside this folder spells these names.

Names follow Prometheus conventions (base units, `_total` on counters, ratios 0 to 1). A missing value is an absent
sample, never 0, -1 or NaN. Target labels (region, cluster, node) come from Prometheus.
"""

from plimsoll.slo.metrics.engine import *  # noqa: F403
from plimsoll.slo.metrics.engine_parts import *  # noqa: F403
from plimsoll.slo.metrics.gpu import *  # noqa: F403
from plimsoll.slo.metrics.gpu_board import *  # noqa: F403
from plimsoll.slo.metrics.gpu_presence import *  # noqa: F403
from plimsoll.slo.metrics.gpu_processes import *  # noqa: F403
from plimsoll.slo.metrics.kubernetes import *  # noqa: F403
from plimsoll.slo.metrics.metric import *  # noqa: F403
from plimsoll.slo.metrics.metric import Metric
from plimsoll.slo.metrics.plimsoll import *  # noqa: F403

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in ALL}
