"""What users enter: objectives files, prices and addresses, read with one-line errors that state the fix."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from plimsoll.slo.capacity.model.prices import Prices
    from plimsoll.slo.spec.objectives import Pool, Spec

MAX_BYTES = (
    8_000_000  # of an objectives file, an import, prices: 2 million characters of YAML are read, of up to 4 bytes each
)
DEFAULT_OBJECTIVES = Path(__file__).parent.parent / "slo" / "objectives.yaml"
DEMO_OBJECTIVES = Path(__file__).parent / "demo" / "objectives.yaml"


class UserError(Exception):
    """Bad input; the message states where, what is wrong and how to fix it."""


def read_text(path: Path, name: str) -> str:
    """Read a text file of at most MAX_BYTES; raises UserError that begins with `name`."""
    try:
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
        text = found.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name}: can't be read: {reason}. Check the path.") from error
    if len(found) > MAX_BYTES:
        raise UserError(f"{name}: larger than {MAX_BYTES:,} bytes. Check the path, or split the file.")
    return text


def read_objectives(path: str | None) -> "Spec":
    """Read an objectives file (None: the bundled file); raises UserError that names file, field and fix."""
    from plimsoll.slo.spec.objectives import SpecError, load  # noqa: PLC0415 - 2 MiB that a node's exporter does without
    from plimsoll.slo.strict_yaml import InvalidYamlError  # noqa: PLC0415

    file = DEFAULT_OBJECTIVES if path is None else Path(path)
    try:
        return load(read_text(file, str(file)))
    except InvalidYamlError as error:
        raise UserError(f"{file}:{error}") from error
    except SpecError as error:
        raise UserError(f"{file}: {error}") from error


def pool_of(spec: "Spec", name: str) -> "Pool":
    """Return a pool of an objectives file; raises UserError."""
    try:
        return spec.pool(name)
    except KeyError:
        raise UserError(
            f"--pool: unknown pool {name!r}. Use one of: {', '.join(pool.name for pool in spec.pools)}."
        ) from None


def add_prices(parser: "argparse.ArgumentParser") -> None:
    """Declare --price-file."""
    parser.add_argument("--price-file", metavar="FILE", help="prices of APIs and GPUs that override the bundled ones")


def read_prices(path: str | None) -> "Prices":
    """Return the bundled prices, overridden by a file; raises UserError that names file, field and fix."""
    from plimsoll.slo.capacity.model.prices import overridden, packaged  # noqa: PLC0415 - a node's exporter does without
    from plimsoll.slo.strict_yaml import InvalidYamlError  # noqa: PLC0415

    if path is None:
        return packaged()
    try:
        return overridden(read_text(Path(path), f"--price-file {path}"))
    except InvalidYamlError as error:
        raise UserError(f"--price-file {path}:{error}") from error
    except ValueError as error:
        raise UserError(f"--price-file {path}: {error}") from error


def needed(module: str, extra: str | None) -> Any:
    """Import a Plimsoll module. Raises UserError if a package of an extra isn't installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").split(".")[0] == "plimsoll":
            raise
        raise UserError(
            f"the package {error.name!r} isn't installed. Run `pip install 'plimsoll-slo[{extra}]'`."
        ) from error


def read_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT; raises UserError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--listen: expected HOST:PORT, such as 127.0.0.1:9800, got {text[:100]!r}.")
    return host.strip("[]"), int(port)
