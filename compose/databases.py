"""Opening the ledger's database by the URL that a user gave."""

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.compose.inputs import UserError
from plimsoll.slo.ledger.database import open_database, reason


def open_ledger(url: str) -> Engine:
    """Open a ledger and bring it up to date; raises UserError, which never shows the password."""
    try:
        return open_database(url)
    except ModuleNotFoundError as error:
        fix = f"the package {error.name!r} isn't installed. Run `pip install 'plimsoll-slo[postgresql]'`."
        raise UserError(f"--db {without_password(url)}: {fix}") from error
    except SQLAlchemyError as error:
        raise UserError(
            f"--db {without_password(url)}: can't be opened: {reason(error)}. Check the URL and the database."
        ) from error


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return url.rpartition("@")[2]
