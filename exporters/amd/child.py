"""The process that loads AMD's library: `python -m plimsoll.exporters.amd.child`. It speaks as the one for NVML does."""

import contextlib
import sys
from collections.abc import Sequence

from plimsoll.exporters.nvml.child import main
from plimsoll.exporters.nvml.node import LibraryUnusableError, ReadableGpu
from plimsoll.exporters.nvml.xids.events import OnXid

# Of amdsmi_status_t
NO_PERM, DRIVER_NOT_LOADED = 10, 34
_REASONS = {NO_PERM: "no_permission", DRIVER_NOT_LOADED: "driver_not_loaded"}


def amd_gpus(_on_xid: OnXid) -> Sequence[ReadableGpu]:
    """Start the library and return the GPUs that it lists; raises LibraryUnusableError."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the binding prints where the library is missing
            import amdsmi  # noqa: PLC0415 - it loads the library at import

            from plimsoll.exporters.amd.gpu import AmdGpu  # noqa: PLC0415
    except ImportError as error:
        advice = f"the binding of AMD SMI isn't usable ({error}). Run `pip install 'plimsoll-slo[amd]'`."
        raise LibraryUnusableError("BINDING", advice, "library_missing") from None
    except (KeyError, OSError, AttributeError):
        advice = "AMD SMI library libamd_smi.so not found, or of another version than the binding. Install ROCm's amd-smi-lib."
        raise LibraryUnusableError("LIBRARY", advice, "library_missing") from None
    try:
        amdsmi.amdsmi_init()
        handles = amdsmi.amdsmi_get_processor_handles()
    except amdsmi.AmdSmiLibraryException as error:
        code = error.get_error_code()
        advice = f"AMD SMI doesn't start: {error.get_error_info(detailed=False)}. Run `amd-smi list` for details."
        raise LibraryUnusableError(str(code), advice, _REASONS.get(code, "library_failed")) from None
    return [AmdGpu(index, handle) for index, handle in enumerate(handles)]


if __name__ == "__main__":
    main(amd_gpus)
