"""Changes of engine settings, as the API returns them and the ledger stores them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from plimsoll.slo.capacity.model.timestamp import Timestamp

Setting = Literal["max_num_seqs", "max_num_batched_tokens", "kv_cache_bits"]
Certainty = Literal["calibrated", "extrapolated"]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A change of one setting that the simulation of the recent traffic shows to help."""

    summary: Annotated[str, Field(description="The change and what it brings, in one sentence.")]
    setting: Setting
    flag: Annotated[str, Field(description="Option of vLLM.")]
    current: Annotated[str, Field(description="Its value now.")]
    proposed: Annotated[str, Field(description="The value that was simulated.")]
    attainment: Annotated[float, Field(description="SLO attainment of the current nodes with the change, 0 to 1.")]
    attainment_gain: Annotated[float, Field(description="By how much that is more than without the change.")]
    nodes_required: Annotated[
        int | None,
        Field(description="Fewest nodes that meet the target with it. `null`: more than the pool's maximum."),
    ]
    nodes_saved: Annotated[
        int | None, Field(description="Nodes fewer than without it. `null`: one of both is above the pool's maximum.")
    ]
    risk: Annotated[str, Field(description="What can get worse.")]
    certainty: Annotated[
        Certainty,
        Field(
            description="calibrated: steps as large as those that the step times were fitted to. extrapolated: larger "
            "steps than any that the engines have done with their present settings."
        ),
    ]


@dataclass(frozen=True, slots=True)
class SettingsAdvice:
    """Changes of engine settings beside one node more, on the recent traffic and without the current queue. Tried every ten minutes, and when
    a setting changes."""

    at: Timestamp
    observed: Annotated[
        dict[str, int], Field(description="Settings that every replica reports alike; others aren't known.")
    ]
    attainment: Annotated[float | None, Field(description="SLO attainment of the current nodes as they are.")] = None
    one_more_node: Annotated[float | None, Field(description="SLO attainment with one node more.")] = None
    nodes_required: Annotated[
        int | None, Field(description="Fewest nodes that meet the target as they are. `null`: not known, or too many.")
    ] = None
    lookback_seconds: Annotated[float | None, Field(description="Seconds of traffic that were simulated.")] = None
    changes: Annotated[
        tuple[SettingChange, ...], Field(description="Most nodes saved first, then highest attainment.")
    ] = ()
    unavailable_reason: Annotated[str | None, Field(description="Why nothing was simulated.")] = None
