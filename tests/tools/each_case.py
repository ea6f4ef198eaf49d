"""A uniform check of many cases as one test: it checks them all, and reports every violation together."""

import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

Case = TypeVar("Case")
LINES = 4  # lines of a failed assertion to report: the comparison and the first differences


def each_case(cases: Iterable[tuple[str, Case]]) -> Callable[[Callable[[Case], None]], Callable[[], None]]:
    """Decorates a check of one case; `cases` are pairs of a name and what to check, at least one."""
    named = list(cases)
    assert named, "a check of no case proves nothing"

    def decorate(check: Callable[[Case], None]) -> Callable[[], None]:
        def test() -> None:
            violations = []
            for name, case in named:
                try:
                    check(case)
                except Exception as error:
                    line = traceback.extract_tb(error.__traceback__)[-1].lineno
                    what = " ".join(str(error).split("\n")[:LINES])
                    violations.append(f"{name}: line {line}: {type(error).__name__}: {what}")
            if violations:
                pytest.fail("\n".join([f"{len(violations)} of {len(named)} cases:", *violations]), pytrace=False)

        test.__name__, test.__qualname__, test.__doc__ = check.__name__, check.__qualname__, check.__doc__
        test.__module__ = check.__module__
        return test

    return decorate
