"""The state that fakenvml.c and a test share: twins of its C structs."""

import ctypes

DEVICES, CALLS_MOST, FIELDS, RATIOS, LINKS, SLICES, PROCESSES, EVENTS = 16, 64, 320, 16, 18, 7, 8, 64


class Field(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("scope", ctypes.c_uint32),
        ("code", ctypes.c_int32),
        ("type", ctypes.c_uint32),
        ("bits", ctypes.c_uint64),
    )


class Ratio(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (("id", ctypes.c_uint32), ("code", ctypes.c_int32), ("value", ctypes.c_double))


class Slice(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (
        ("instance", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("memory_total", ctypes.c_uint64),
        ("memory_used", ctypes.c_uint64),
        ("uuid", ctypes.c_char * 96),
        ("name", ctypes.c_char * 96),
    )


class Event(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (
        ("device", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("type", ctypes.c_uint64),
        ("data", ctypes.c_uint64),
    )


class Device(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (
        ("present", ctypes.c_uint32),
        ("code", ctypes.c_int32),
        ("wedged", ctypes.c_uint32),
        ("reads", ctypes.c_uint32),
        ("codes", ctypes.c_int32 * CALLS_MOST),
        ("asked", ctypes.c_uint32 * CALLS_MOST),
        ("uuid", ctypes.c_char * 96),
        ("name", ctypes.c_char * 96),
        ("bus_id", ctypes.c_char * 32),
        ("memory_total", ctypes.c_uint64),
        ("memory_reserved", ctypes.c_uint64),
        ("memory_used", ctypes.c_uint64),
        ("energy_mj", ctypes.c_uint64),
        ("busy_percent", ctypes.c_uint32),
        ("power_mw", ctypes.c_uint32),
        ("power_limit_mw", ctypes.c_uint32),
        ("temperature_c", ctypes.c_uint32),
        ("clock_mhz", ctypes.c_uint32 * 4),
        ("clock_max_mhz", ctypes.c_uint32 * 4),
        ("memory_busy_percent", ctypes.c_uint32),
        ("margin_c", ctypes.c_uint32),
        ("threshold_c", ctypes.c_uint32 * 4),
        ("pcie", ctypes.c_uint32 * 4),
        ("sram_exceeded", ctypes.c_uint32),
        ("remap_room", ctypes.c_uint32 * 5),
        ("fabric_version", ctypes.c_uint32),
        ("fabric_state", ctypes.c_uint32),
        ("fabric_health", ctypes.c_uint32),
        ("performance_state", ctypes.c_uint32),
        ("persistence", ctypes.c_uint32),
        ("mig_mode", ctypes.c_uint32),
        ("slice_count", ctypes.c_uint32),
        ("process_count", ctypes.c_uint32),
        ("pids", ctypes.c_uint32 * PROCESSES),
        ("gpm_supported", ctypes.c_uint32),
        ("gpm_samples", ctypes.c_uint32),
        ("ratio_count", ctypes.c_uint32),
        ("field_count", ctypes.c_uint32),
        ("links_up", ctypes.c_uint32),
        ("compute_mode", ctypes.c_uint32),
        ("gsp_enabled", ctypes.c_uint32),
        ("fan_count", ctypes.c_uint32),
        ("fan_percent", ctypes.c_uint32 * 4),
        ("repair", ctypes.c_uint32 * 2),
        ("unrepairable", ctypes.c_uint32),
        ("fabric_status", ctypes.c_uint32),
        ("fabric_mask", ctypes.c_uint32),
        ("fabric_clique", ctypes.c_uint32),
        ("ecc_mode", ctypes.c_uint32 * 2),
        ("mig_pending", ctypes.c_uint32),
        ("mps_count", ctypes.c_uint32),
        ("sample_count", ctypes.c_uint32),
        ("samples", ctypes.c_uint32 * 2),
        ("process_instances", ctypes.c_uint32 * PROCESSES),
        ("process_sm", ctypes.c_uint32 * PROCESSES),
        ("link_codes", ctypes.c_int32 * LINKS),
        ("fabric_cluster", ctypes.c_uint8 * 16),
        ("serial", ctypes.c_char * 32),
        ("vbios", ctypes.c_char * 32),
        ("inforom", ctypes.c_char * 32),
        ("gsp_version", ctypes.c_char * 32),
        ("sram_errors", ctypes.c_uint64 * 11),
        ("bar1_used", ctypes.c_uint64),
        ("clock_reasons", ctypes.c_uint64),
        ("event_types", ctypes.c_uint64),
        ("ecc", ctypes.c_uint64 * 2 * 2),
        ("process_memory", ctypes.c_uint64 * PROCESSES),
        ("link_errors", ctypes.c_uint64 * 4 * LINKS),
        ("slices", Slice * SLICES),
        ("ratios", Ratio * RATIOS),
        ("fields", Field * FIELDS),
    )


class State(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (
        ("init_code", ctypes.c_int32),
        ("epoch", ctypes.c_uint32),
        ("cuda_version", ctypes.c_int32),
        ("inits", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("crash", ctypes.c_uint32),
        ("init_hangs", ctypes.c_uint32),
        ("event_count", ctypes.c_uint32),
        ("events", Event * EVENTS),
        ("driver_version", ctypes.c_char * 80),
        ("devices", Device * DEVICES),
    )
