"""The cases of every alert of health.rules.yml: as data, and as promtool YAML."""

from budget_cases import BUDGETS
from gpu_cases import GPUS
from gpu_fabric_cases import FABRIC, SPLIT
from paths import ROOT
from pool_cases import MUTING, POOLS
from replica_cases import REPLICAS
from self_monitoring_cases import SELF_MONITORING

WRITTEN = ROOT / "tests" / "fixtures" / "rules" / "health.yml"
CASES = [*BUDGETS, *POOLS, *REPLICAS, *MUTING, *GPUS, *FABRIC, *SPLIT, *SELF_MONITORING]
