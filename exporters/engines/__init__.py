"""The engines that are understood, and which of them a metrics page comes from."""

from collections.abc import Iterable

from plimsoll.exporters.engines.litellm import LITELLM
from plimsoll.exporters.engines.llamacpp import LLAMACPP
from plimsoll.exporters.engines.mapping import EngineMapping
from plimsoll.exporters.engines.sglang import SGLANG
from plimsoll.exporters.engines.tensorrt_llm import TRITON, TRTLLM_SERVE
from plimsoll.exporters.engines.tgi import TGI
from plimsoll.exporters.engines.vllm import VLLM

ENGINES: tuple[EngineMapping, ...] = (VLLM, SGLANG, TRTLLM_SERVE, TRITON, TGI, LLAMACPP, LITELLM)
# Where a server may have its page, the usual place first.
PATHS: tuple[str, ...] = tuple(dict.fromkeys(engine.path for engine in ENGINES))


def recognize(names: Iterable[str]) -> EngineMapping | None:
    """Return the engine that a page with these series names comes from, or None."""
    known = tuple(names)
    return next(
        (engine for engine in ENGINES if any(name.startswith(engine.prefixes) for name in known)),
        None,
    )
