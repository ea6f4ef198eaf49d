"""The recommendations of a time span that asked for a change of nodes: whether they were followed, and what people answered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import SLOT, rfc3339
from plimsoll.slo.ledger.manual_changes import Acknowledgement, Answer
from plimsoll.slo.usage.slots import PoolSlot

LISTED = 50  # the newest; the counts are of all
TOLERANCE = 0.05  # nodes: a slot has the mean of its scrapes, of which one may have missed a node


class AskedFor(BaseModel):
    """A recommendation to add or remove nodes."""

    at: str
    action: Literal["scale_out", "scale_in"]
    current_nodes: int | None
    recommended_nodes: int
    reason: str = Field(description="The deciding one.")
    followed: bool | None = Field(
        description="Whether the nodes up reached the recommended number in this week, before another number was recommended. "
        "`null`: no node data."
    )
    answer: Answer | None = Field(None, description="done: carried out; later: agreed, but not yet; no: declined.")
    answered_by: str | None = None
    answer_reason: str | None = None


class Followed(BaseModel):
    """Recommendations to add or remove nodes in a week, against what was done. They are of now in a saved review, too: answers come after it."""

    made: int = 0
    followed: int = 0
    unknown: int = Field(default=0, description="Without node data.")
    answers: dict[Answer, int] = Field(default={}, description="Number of recommendations by answer.")
    newest: list[AskedFor] = Field(default=[], description=f"Newest first, at most {LISTED}.")


def followed(
    given: Mapping[int, Acknowledgement], made: Sequence[dict[str, Any]], rows: Sequence[PoolSlot], end: float
) -> Followed:
    """Compare stored recommendations of a pool, newest first, with its slots until `end` (Unix seconds) and with the answers `given`."""
    found, until, later = list[AskedFor](), end, None
    for item in made:
        number = item["recommended_nodes"]
        if number is None:
            continue  # without data nothing is recommended: the one before still stands
        if later is not None and later["recommended_nodes"] != number:
            until = later["at"]
        later = item
        if item["action"] in ("scale_out", "scale_in"):
            found.append(_asked(item, given.get(round(item["at"])), _reached(item, rows, until)))
    return Followed(
        made=len(found),
        followed=sum(one.followed is True for one in found),
        unknown=sum(one.followed is None for one in found),
        answers=Counter(one.answer for one in found if one.answer),
        newest=found[:LISTED],
    )


def _asked(item: dict[str, Any], answer: Acknowledgement | None, done: bool | None) -> AskedFor:
    return AskedFor(
        at=rfc3339(item["at"]),
        action=item["action"],
        current_nodes=item.get("current_nodes"),
        recommended_nodes=item["recommended_nodes"],
        reason=next(iter(item["reasons"]), ""),
        followed=done,
        answer=answer.answer if answer else None,
        answered_by=answer.actor if answer else None,
        answer_reason=answer.reason if answer else None,
    )


def _reached(item: dict[str, Any], rows: Sequence[PoolSlot], until: float) -> bool | None:
    """Return whether the nodes of a slot reached the recommended number between a recommendation and `until`; None without data."""
    number: int = item["recommended_nodes"]
    nodes = [row.nodes for row in rows if row.nodes is not None and item["at"] < row.slot + SLOT and row.slot < until]
    if not nodes:
        return None
    if item["action"] == "scale_out":
        return max(nodes) >= number - TOLERANCE
    return min(nodes) <= number + TOLERANCE
