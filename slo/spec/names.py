"""Texts and times of the objectives file that several of its sections have."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from plimsoll.slo.units import shown

# A DNS label: it becomes a label value, a part of a URL and of a rule's name.
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
]  # $ would also match before a last line break
# As engines report it. Without control characters, which no log, terminal or table shows as they are.
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z")]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]


def time_zone(name: object) -> ZoneInfo:
    """Return an IANA time zone; raises ValueError with the fix."""
    try:
        return ZoneInfo(name)  # type: ignore[arg-type]  # anything else raises TypeError
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise ValueError(
            f"{shown(name)} isn't an IANA time zone. Write UTC or a name such as Europe/Berlin."
        ) from error
