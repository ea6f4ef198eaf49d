"""The objectives file's holidays: those of a region, and further dates. Demand on them is unlike that on other days."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Annotated

import msgspec

from plimsoll.slo.spec.names import ShortText, time_zone

# ISO 3166-1 country, ISO 3166-2 subdivision. YAML reads an unquoted NO (Norway) as false.
Region = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?\Z")]


class Holidays(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Public holidays of a `region` (a country, or one of its subdivisions: `DE`, `US-CA`) and further `dates`.

    A day begins at midnight of `timezone`. Quote Norway: `"NO"`.
    """

    region: Region | None = None
    timezone: ShortText = "UTC"
    dates: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        time_zone(self.timezone)
        if not self.region and not self.dates:
            raise ValueError("has neither a region nor dates. Name `region`, such as DE or US-CA, or `dates`.")
        try:
            self.named(2024)
        except ModuleNotFoundError:
            pass  # vLLM's own environment, in which a plugin reads the file; the service has the package
        except NotImplementedError as error:
            raise ValueError(
                f"region {self.region} isn't known: {error}. Write a country and its subdivision, such as DE or US-CA, or list `dates`."
            ) from error

    def named(self, year: int) -> Mapping[date, str]:
        """Return the name of each holiday of a year. Raises NotImplementedError for an unknown region."""
        listed = {day: "listed in the objectives file" for day in self.dates if day.year == year}
        return {**listed, **(_of_region(self.region, year) if self.region else {})}


def parsed(value: "str | Holidays | None") -> Holidays | None:
    """Return what `holidays: DE` stands for."""
    return Holidays(value) if isinstance(value, str) else value


@lru_cache(maxsize=256)
def _of_region(region: str, year: int) -> Mapping[date, str]:
    # Imported here: 30 ms, and a plugin reads the file in vLLM's own environment, which need not have it.
    from holidays import country_holidays  # noqa: PLC0415

    country, _, subdivision = region.partition("-")
    return dict(country_holidays(country, subdiv=subdivision or None, years=year))
