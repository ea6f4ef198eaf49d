"""The templates of the pages, with their filters and texts."""

from functools import cache
from pathlib import Path

from fastapi.templating import Jinja2Templates

from plimsoll.slo.service.pages.step_chart import steps
from plimsoll.slo.service.pages.text import FILTERS, GLOBALS


@cache
def page_templates() -> Jinja2Templates:
    """Return the templates. A template finds the caller, where there is one, as `request.scope.plimsoll_caller`."""
    templates = Jinja2Templates(directory=Path(__file__).parents[1] / "templates")
    templates.env.filters |= FILTERS | {"steps": steps}
    templates.env.globals |= GLOBALS
    return templates
