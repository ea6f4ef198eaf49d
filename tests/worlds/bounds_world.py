"""The small world's objectives file with another indicator and another `off_bucket` policy."""

from plimsoll.slo.spec.objectives import Spec, load
from world import SPEC_TEXT


def spec(bucket_mismatch: str, indicator: str = "time_to_first_token: 600ms") -> Spec:
    return load(
        SPEC_TEXT.replace("{time_to_first_token: 600ms}", f"{{{indicator}}}, bucket_mismatch: {bucket_mismatch}")
    )
