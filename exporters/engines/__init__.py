"""The engines that are understood, and which of them a metrics page comes from."""

from collections.abc import Iterable

from exporters.engines.litellm import LITELLM
from exporters.engines.llamacpp import LLAMACPP
from exporters.engines.mapping import EngineMapping
from exporters.engines.sglang import SGLANG
from exporters.engines.tensorrt_llm import TRITON, TRTLLM_SERVE
from exporters.engines.tgi import TGI
from exporters.engines.vllm import VLLM

ENGINES: tuple[EngineMapping, ...] = (VLLM, SGLANG, TRTLLM_SERVE, TRITON, TGI, LLAMACPP, LITELLM)
# Where a server may have its page, the usual place first.
PATHS: tuple[str, ...] = tuple(dict.fromkeys(engine.path for engine in ENGINES))


def recognise(names: Iterable[str]) -> EngineMapping | None:
    """Return the engine that a page with these series names comes from, or None."""
    known = tuple(names)
    return next(
        (engine for engine in ENGINES if any(name.startswith(engine.prefixes) for name in known)),
        None,
    )
