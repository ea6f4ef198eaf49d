/* A libnvidia-ml.so.1 without a GPU. Everything it answers lies in a file (FAKE_NVML_STATE) mapped by this library and by
 * tests/fakes/fakenvml/__init__.py, so that a test can change, lose or wedge a GPU while another process reads it.
 * The two struct definitions below have their twins there; tests/test_nvml.py compares sizes with them and with pynvml. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define API __attribute__((visibility("default")))

#ifndef GENERATION /* of the kernel module that this library fits; tests compile a second library to upgrade to */
#define GENERATION 1
#endif

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { DRIVER_NOT_LOADED = 9, TIMEOUT = 10, LIB_RM_VERSION_MISMATCH = 18, VERSION_MISMATCH = 25 };
enum { DEVICES = 16, CALLS = 64, FIELDS = 320, RATIOS = 16, LINKS = 18, SLICES = 7, PROCESSES = 8, EVENTS = 64 };
/* One number per call that can be made to fail by itself; the names are CALLS in __init__.py, in this order. */
enum { HANDLE, UUID, NAME, PCI, MEMORY_V2, MEMORY, UTILIZATION, POWER, POWER_LIMIT, ENERGY, TEMPERATURE, CLOCK, CLOCK_MAX,
       FIELD_VALUES, CLOCK_REASONS, ECC, SRAM, MARGIN, THRESHOLD, PCIE, LINK_STATE, LINK_ERRORS, FABRIC, MIG_MODE, BAR1,
       STATE, PERSISTENCE, PROCESS_LIST, REMAP_ROOM, GPM, EVENT_TYPES, BOARD, FANS, COMPUTE_MODE, GSP, REPAIR, UNREPAIRABLE,
       ECC_MODE, MPS, PROCESS_USE, SAMPLES };

typedef struct { uint32_t id, scope; int32_t code; uint32_t type; uint64_t bits; } Field;
typedef struct { uint32_t id; int32_t code; double value; } Ratio;
typedef struct { uint32_t instance, pad; uint64_t memory_total, memory_used; char uuid[96], name[96]; } Slice;
typedef struct { uint32_t device, pad; uint64_t type, data; } Event;

typedef struct {
  uint32_t present;     /* enumerated by the next init */
  int32_t code;         /* not 0: every call on this GPU returns it */
  uint32_t wedged;      /* 1: every call on this GPU hangs until this is 0 again; a process's id: in that process */
  uint32_t reads;       /* calls made so far */
  int32_t codes[CALLS]; /* not 0: this one call returns it */
  uint32_t asked[CALLS]; /* how often each call was made */
  char uuid[96], name[96], bus_id[32];
  uint64_t memory_total, memory_reserved, memory_used, energy_mj;
  uint32_t busy_percent, power_mw, power_limit_mw, temperature_c, clock_mhz[4], clock_max_mhz[4];
  uint32_t memory_busy_percent, margin_c, threshold_c[4], pcie[4]; /* generation now and most, width now and most */
  uint32_t sram_exceeded, remap_room[5], fabric_version, fabric_state, fabric_health, performance_state, persistence;
  uint32_t mig_mode, slice_count, process_count, pids[PROCESSES], gpm_supported, gpm_samples, ratio_count, field_count, links_up;
  uint32_t compute_mode, gsp_enabled, fan_count, fan_percent[4], repair[2], unrepairable;
  uint32_t fabric_status, fabric_mask, fabric_clique, ecc_mode[2], mig_pending, mps_count, sample_count, samples[2];
  uint32_t process_instances[PROCESSES], process_sm[PROCESSES];
  int32_t link_codes[LINKS]; /* not 0: the state of this link returns it */
  uint8_t fabric_cluster[16];
  char serial[32], vbios[32], inforom[32], gsp_version[32];
  uint64_t sram_errors[11];
  uint64_t bar1_used, clock_reasons, event_types, ecc[2][2], process_memory[PROCESSES], link_errors[LINKS][4];
  Slice slices[SLICES];
  Ratio ratios[RATIOS];
  Field fields[FIELDS];
} Device;
typedef struct {
  int32_t init_code; /* not 0: init returns it */
  uint32_t epoch;    /* a new number: the driver was restarted, and what was initialised before is void */
  int32_t cuda_version;
  uint32_t inits;    /* successful inits so far */
  uint32_t generation; /* of the kernel module: a library of another one does not fit */
  uint32_t crash;      /* the next call on a GPU kills the process */
  uint32_t init_hangs; /* init hangs until this is 0 again */
  uint32_t event_count;
  Event events[EVENTS];
  char driver_version[80];
  Device devices[DEVICES];
} State;

typedef struct { char legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; } PciInfo;
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } MemoryV2;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned id, scope; int64_t timestamp, latency; unsigned type; int code; uint64_t bits; } FieldValue;
typedef struct { unsigned id; int code; double value; const char *names[3]; } GpmMetric;
typedef struct { unsigned version, count; void *first, *second; GpmMetric metrics[]; } GpmMetricsGet;
typedef struct { unsigned version, supported; } GpmSupport;
typedef struct { void *device; uint64_t type, data; unsigned gpu_instance, compute_instance; } EventData;
typedef struct { unsigned pid; uint64_t memory; unsigned gpu_instance, compute_instance; } ProcessInfo;
typedef struct { unsigned version; uint64_t counts[11]; unsigned exceeded; } SramStatus;
typedef struct { uint64_t total, free, used; } Bar1;
typedef struct { unsigned version; uint8_t cluster[16]; int status; uint32_t clique; unsigned state, health_mask; uint8_t health; } FabricInfo;
typedef struct { unsigned version; int margin; } Margin;
typedef struct { unsigned version, channel, tpc; } Repair;
typedef struct { unsigned version, flag; } Unrepairable;
typedef struct { Device *device; uint32_t number; } Sample;
typedef struct { unsigned pid; uint64_t time; unsigned sm, memory, encoder, decoder; } ProcessUse;
typedef struct { uint64_t time, value; } UseSample;
API const unsigned fake_sizes[] = { sizeof(State), sizeof(Device), sizeof(PciInfo), sizeof(Memory), sizeof(MemoryV2), sizeof(Utilization),
                                    sizeof(FieldValue), sizeof(GpmMetric), sizeof(GpmSupport), sizeof(EventData), sizeof(ProcessInfo),
                                    sizeof(SramStatus), sizeof(Bar1), sizeof(FabricInfo), sizeof(Margin), sizeof(Repair),
                                    sizeof(Unrepairable), sizeof(ProcessUse), sizeof(UseSample) };

static State *state;
static Device *found[DEVICES];
static unsigned found_count, epoch;
static int references;

static int map_state(void) {
  const char *path = getenv("FAKE_NVML_STATE");
  int file = path ? open(path, O_RDWR) : -1;
  if (file < 0) return DRIVER_NOT_LOADED;
  void *map = mmap(NULL, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (map == MAP_FAILED) return DRIVER_NOT_LOADED;
  state = map; /* an older map stays: a wedged thread may still be reading it */
  return SUCCESS;
}

static int ready(void) {
  if (references > 0 && state->generation != GENERATION) return LIB_RM_VERSION_MISMATCH;
  return references > 0 && epoch == state->epoch ? SUCCESS : UNINITIALIZED;
}

static int enter(void *handle, int call) {
  int code = ready();
  if (code) return code;
  if (!handle) return INVALID_ARGUMENT;
  Device *device = handle;
  if (state->crash) raise(SIGSEGV);
  __sync_fetch_and_add(&device->reads, 1);
  __sync_fetch_and_add(&device->asked[call], 1);
  while (*(volatile uint32_t *)&device->wedged == 1) usleep(1000);
  for (uint32_t pid = getpid(); *(volatile uint32_t *)&device->wedged == pid;) usleep(1000);
  return device->code ? device->code : device->codes[call];
}
#define READY() do { int code = ready(); if (code) return code; } while (0)
#define ENTER(handle, call) do { int code = enter(handle, call); if (code) return code; } while (0)

API int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  if (references == 0) { int code = map_state(); if (code) return code; }
  while (*(volatile uint32_t *)&state->init_hangs) usleep(1000);
  if (state->init_code) return state->init_code;
  if (state->generation != GENERATION) return LIB_RM_VERSION_MISMATCH;
  if (references++ == 0) {
    epoch = state->epoch;
    found_count = 0;
    for (int i = 0; i < DEVICES; i++) if (state->devices[i].present) found[found_count++] = &state->devices[i];
    __sync_fetch_and_add(&state->inits, 1);
  }
  return SUCCESS;
}
API int nvmlShutdown(void) { if (references == 0) return UNINITIALIZED; references--; return SUCCESS; }
API const char *nvmlErrorString(int code) { (void)code; abort(); /* str() of an NVMLError asks a driver in trouble: never do it */ }
API int nvmlSystemGetDriverVersion(char *text, unsigned size) { READY(); snprintf(text, size, "%s", state->driver_version); return SUCCESS; }
API int nvmlSystemGetCudaDriverVersion(int *version) { READY(); *version = state->cuda_version; return SUCCESS; }
API int nvmlDeviceGetCount_v2(unsigned *count) { READY(); *count = found_count; return SUCCESS; }
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
  READY();
  if (index >= found_count) return INVALID_ARGUMENT;
  ENTER(found[index], HANDLE);
  *handle = found[index];
  return SUCCESS;
}
static Slice *as_slice(void *handle) { /* a MIG device's handle points to its slice */
  for (unsigned i = 0; i < found_count; i++)
    if ((char *)handle >= (char *)found[i]->slices && (char *)handle < (char *)(found[i]->slices + SLICES)) return handle;
  return NULL;
}
API int nvmlDeviceGetUUID(Device *d, char *text, unsigned size) {
  Slice *slice = as_slice(d);
  if (!slice) ENTER(d, UUID);
  snprintf(text, size, "%s", slice ? slice->uuid : d->uuid);
  return SUCCESS;
}
API int nvmlDeviceGetName(Device *d, char *text, unsigned size) {
  Slice *slice = as_slice(d);
  if (!slice) ENTER(d, NAME);
  snprintf(text, size, "%s", slice ? slice->name : d->name);
  return SUCCESS;
}
API int nvmlDeviceGetPciInfo_v3(Device *d, PciInfo *info) { ENTER(d, PCI); memset(info, 0, sizeof *info); memcpy(info->bus_id, d->bus_id, sizeof d->bus_id); return SUCCESS; }
API int nvmlDeviceGetMemoryInfo(Device *d, Memory *memory) { /* the first version counts the driver's share as used */
  ENTER(d, MEMORY);
  memory->total = d->memory_total;
  memory->used = d->memory_used + d->memory_reserved;
  memory->free = memory->total - memory->used;
  return SUCCESS;
}
API int nvmlDeviceGetMemoryInfo_v2(Device *d, MemoryV2 *memory) {
  Slice *slice = as_slice(d);
  if (!slice) ENTER(d, MEMORY_V2);
  if (memory->version != (sizeof(MemoryV2) | 2u << 24)) return VERSION_MISMATCH;
  if (slice) {
    if (!slice->memory_total) return NOT_SUPPORTED;
    memory->total = slice->memory_total;
    memory->reserved = 0;
    memory->used = slice->memory_used;
    memory->free = slice->memory_total - slice->memory_used;
    return SUCCESS;
  }
  memory->total = d->memory_total;
  memory->reserved = d->memory_reserved;
  memory->used = d->memory_used;
  memory->free = d->memory_total - d->memory_used - d->memory_reserved;
  return SUCCESS;
}
API int nvmlDeviceGetUtilizationRates(Device *d, Utilization *u) { ENTER(d, UTILIZATION); u->gpu = d->busy_percent; u->memory = d->memory_busy_percent; return SUCCESS; }
API int nvmlDeviceGetPowerUsage(Device *d, unsigned *mw) { ENTER(d, POWER); *mw = d->power_mw; return SUCCESS; }
API int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *mw) { ENTER(d, POWER_LIMIT); *mw = d->power_limit_mw; return SUCCESS; }
API int nvmlDeviceGetTotalEnergyConsumption(Device *d, uint64_t *mj) { ENTER(d, ENERGY); *mj = d->energy_mj; return SUCCESS; }
API int nvmlDeviceGetTemperature(Device *d, unsigned sensor, unsigned *c) { ENTER(d, TEMPERATURE); if (sensor) return INVALID_ARGUMENT; *c = d->temperature_c; return SUCCESS; }
API int nvmlDeviceGetClockInfo(Device *d, unsigned domain, unsigned *mhz) { ENTER(d, CLOCK); if (domain > 3) return INVALID_ARGUMENT; *mhz = d->clock_mhz[domain]; return SUCCESS; }
API int nvmlDeviceGetMaxClockInfo(Device *d, unsigned domain, unsigned *mhz) { ENTER(d, CLOCK_MAX); if (domain > 3) return INVALID_ARGUMENT; *mhz = d->clock_max_mhz[domain]; return SUCCESS; }
API int nvmlDeviceGetFieldValues(Device *d, int count, FieldValue *values) {
  ENTER(d, FIELD_VALUES);
  for (int i = 0; i < count; i++) {
    values[i].code = NOT_SUPPORTED;
    for (unsigned k = 0; k < d->field_count; k++) {
      Field *field = &d->fields[k];
      if (field->id != values[i].id || field->scope != values[i].scope) continue;
      values[i].code = field->code;
      values[i].type = field->type;
      values[i].bits = field->bits;
    }
  }
  return SUCCESS;
}
API int nvmlDeviceGetCurrentClocksEventReasons(Device *d, uint64_t *reasons) { ENTER(d, CLOCK_REASONS); *reasons = d->clock_reasons; return SUCCESS; }
API int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, uint64_t *reasons) { ENTER(d, CLOCK_REASONS); *reasons = d->clock_reasons; return SUCCESS; }
API int nvmlDeviceGetTotalEccErrors(Device *d, unsigned error, unsigned counter, uint64_t *count) { ENTER(d, ECC); *count = d->ecc[error][counter]; return SUCCESS; }
API int nvmlDeviceGetSramEccErrorStatus(Device *d, SramStatus *status) {
  ENTER(d, SRAM);
  if (status->version != (sizeof(SramStatus) | 1u << 24)) return VERSION_MISMATCH;
  memcpy(status->counts, d->sram_errors, sizeof status->counts);
  status->exceeded = d->sram_exceeded;
  return SUCCESS;
}
API int nvmlDeviceGetMarginTemperature(Device *d, Margin *margin) {
  ENTER(d, MARGIN);
  if (margin->version != (sizeof(Margin) | 1u << 24)) return VERSION_MISMATCH;
  margin->margin = (int)d->margin_c;
  return SUCCESS;
}
API int nvmlDeviceGetTemperatureThreshold(Device *d, unsigned which, unsigned *c) { ENTER(d, THRESHOLD); if (which > 3) return INVALID_ARGUMENT; *c = d->threshold_c[which]; return SUCCESS; }
API int nvmlDeviceGetCurrPcieLinkGeneration(Device *d, unsigned *value) { ENTER(d, PCIE); *value = d->pcie[0]; return SUCCESS; }
API int nvmlDeviceGetMaxPcieLinkGeneration(Device *d, unsigned *value) { ENTER(d, PCIE); *value = d->pcie[1]; return SUCCESS; }
API int nvmlDeviceGetCurrPcieLinkWidth(Device *d, unsigned *value) { ENTER(d, PCIE); *value = d->pcie[2]; return SUCCESS; }
API int nvmlDeviceGetMaxPcieLinkWidth(Device *d, unsigned *value) { ENTER(d, PCIE); *value = d->pcie[3]; return SUCCESS; }
API int nvmlDeviceGetNvLinkState(Device *d, unsigned link, unsigned *active) { ENTER(d, LINK_STATE); if (link >= LINKS) return INVALID_ARGUMENT; if (d->link_codes[link]) return d->link_codes[link]; *active = d->links_up >> link & 1; return SUCCESS; }
API int nvmlDeviceGetNvLinkErrorCounter(Device *d, unsigned link, unsigned kind, uint64_t *count) { ENTER(d, LINK_ERRORS); if (link >= LINKS || kind > 3) return INVALID_ARGUMENT; *count = d->link_errors[link][kind]; return SUCCESS; }
API int nvmlDeviceGetGpuFabricInfoV(Device *d, FabricInfo *info) { /* a driver knows the struct up to its own version */
  ENTER(d, FABRIC);
  if (info->version >> 24 > d->fabric_version) return VERSION_MISMATCH;
  info->state = d->fabric_state;
  info->status = d->fabric_status;
  info->clique = d->fabric_clique;
  info->health_mask = d->fabric_mask;
  memcpy(info->cluster, d->fabric_cluster, sizeof info->cluster);
  if (info->version >> 24 >= 3) info->health = (uint8_t)d->fabric_health;
  return SUCCESS;
}
API int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) { ENTER(d, MIG_MODE); *current = d->mig_mode; *pending = d->mig_pending; return SUCCESS; }
API int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *count) { ENTER(d, MIG_MODE); *count = SLICES; return SUCCESS; }
API int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned index, void **handle) {
  ENTER(d, MIG_MODE);
  if (index >= d->slice_count || !d->slices[index].uuid[0]) return NOT_FOUND; /* an empty place */
  *handle = &d->slices[index];
  return SUCCESS;
}
API int nvmlDeviceGetGpuInstanceId(Slice *slice, unsigned *instance) { *instance = slice->instance; return SUCCESS; }
API int nvmlDeviceGetBAR1MemoryInfo(Device *d, Bar1 *bar1) { ENTER(d, BAR1); *bar1 = (Bar1){ 1ull << 37, 0, d->bar1_used }; return SUCCESS; }
API int nvmlDeviceGetPerformanceState(Device *d, unsigned *value) { ENTER(d, STATE); *value = d->performance_state; return SUCCESS; }
API int nvmlDeviceGetPersistenceMode(Device *d, unsigned *value) { ENTER(d, PERSISTENCE); *value = d->persistence; return SUCCESS; }
API int nvmlDeviceGetSerial(Device *d, char *text, unsigned size) { ENTER(d, BOARD); snprintf(text, size, "%s", d->serial); return SUCCESS; }
API int nvmlDeviceGetVbiosVersion(Device *d, char *text, unsigned size) { ENTER(d, BOARD); snprintf(text, size, "%s", d->vbios); return SUCCESS; }
API int nvmlDeviceGetInforomImageVersion(Device *d, char *text, unsigned size) { ENTER(d, BOARD); snprintf(text, size, "%s", d->inforom); return SUCCESS; }
API int nvmlDeviceGetGspFirmwareVersion(Device *d, char *text) { ENTER(d, GSP); snprintf(text, 32, "%s", d->gsp_version); return SUCCESS; }
API int nvmlDeviceGetGspFirmwareMode(Device *d, unsigned *enabled, unsigned *by_default) { ENTER(d, GSP); *enabled = *by_default = d->gsp_enabled; return SUCCESS; }
API int nvmlDeviceGetComputeMode(Device *d, unsigned *mode) { ENTER(d, COMPUTE_MODE); *mode = d->compute_mode; return SUCCESS; }
API int nvmlDeviceGetNumFans(Device *d, unsigned *count) { ENTER(d, FANS); if (!d->fan_count) return NOT_SUPPORTED; *count = d->fan_count; return SUCCESS; }
API int nvmlDeviceGetFanSpeed_v2(Device *d, unsigned fan, unsigned *percent) { ENTER(d, FANS); if (fan >= d->fan_count) return INVALID_ARGUMENT; *percent = d->fan_percent[fan]; return SUCCESS; }
API int nvmlDeviceGetRepairStatus(Device *d, Repair *status) {
  ENTER(d, REPAIR);
  if (status->version != (sizeof(Repair) | 1u << 24)) return VERSION_MISMATCH;
  status->channel = d->repair[0];
  status->tpc = d->repair[1];
  return SUCCESS;
}
API int nvmlDeviceGetUnrepairableMemoryFlag_v1(Device *d, Unrepairable *status) {
  ENTER(d, UNREPAIRABLE);
  if (status->version != (sizeof(Unrepairable) | 1u << 24)) return VERSION_MISMATCH;
  status->flag = d->unrepairable;
  return SUCCESS;
}
API int nvmlDeviceGetRowRemapperHistogram(Device *d, unsigned *room) { ENTER(d, REMAP_ROOM); memcpy(room, d->remap_room, sizeof d->remap_room); return SUCCESS; }
API int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *count, ProcessInfo *processes) {
  ENTER(d, PROCESS_LIST);
  unsigned room = *count;
  *count = d->process_count;
  if (room < d->process_count) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < d->process_count && processes; i++) processes[i] = (ProcessInfo){ d->pids[i], d->process_memory[i], d->mig_mode ? d->process_instances[i] : ~0u, ~0u };
  return SUCCESS;
}
API int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device *d, unsigned *count, ProcessInfo *processes) {
  ENTER(d, MPS);
  unsigned room = *count;
  *count = d->mps_count;
  if (room < d->mps_count) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < d->mps_count && processes; i++) processes[i] = (ProcessInfo){ d->pids[i], d->process_memory[i], ~0u, ~0u };
  return SUCCESS;
}
API int nvmlDeviceGetProcessUtilization(Device *d, ProcessUse *uses, unsigned *count, uint64_t since) { /* an idle GPU: NOT_FOUND */
  (void)since;
  ENTER(d, PROCESS_USE);
  unsigned room = *count;
  *count = d->process_count;
  if (!d->process_count) return NOT_FOUND;
  if (!uses || room < d->process_count) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < d->process_count; i++) uses[i] = (ProcessUse){ d->pids[i], ++d->sample_count, d->process_sm[i], 0, 0, 0 };
  return SUCCESS;
}
API int nvmlDeviceGetSamples(Device *d, unsigned kind, uint64_t since, unsigned *type, unsigned *count, UseSample *samples) {
  ENTER(d, SAMPLES);
  if (kind < 1 || kind > 2) return INVALID_ARGUMENT;
  *type = 1; /* unsigned int */
  if (!samples) { *count = 2; return SUCCESS; }
  for (unsigned i = 0; i < *count; i++) samples[i] = (UseSample){ since + 1 + i, i % 2 ? d->samples[kind - 1] : 0 }; /* half the time idle */
  return SUCCESS;
}
API int nvmlDeviceGetEccMode(Device *d, unsigned *current, unsigned *pending) { ENTER(d, ECC_MODE); *current = d->ecc_mode[0]; *pending = d->ecc_mode[1]; return SUCCESS; }
API int nvmlGpmQueryDeviceSupport(Device *d, GpmSupport *support) { ENTER(d, GPM); support->supported = d->gpm_supported; return SUCCESS; }
API int nvmlGpmSampleAlloc(Sample **sample) { *sample = calloc(1, sizeof **sample); return SUCCESS; }
API int nvmlGpmSampleFree(Sample *sample) { free(sample); return SUCCESS; }
API int nvmlGpmSampleGet(Device *d, Sample *sample) { ENTER(d, GPM); *sample = (Sample){ d, ++d->gpm_samples }; return SUCCESS; }
API int nvmlGpmMigSampleGet(Device *d, unsigned instance, Sample *sample) { /* every instance works as its whole GPU does */
  ENTER(d, GPM);
  for (unsigned i = 0; i < d->slice_count; i++)
    if (d->slices[i].uuid[0] && d->slices[i].instance == instance) { *sample = (Sample){ d, ++d->gpm_samples }; return SUCCESS; }
  return NOT_FOUND;
}
API int nvmlGpmMetricsGet(GpmMetricsGet *get) {
  Sample *first = get->first, *second = get->second;
  if (!first->device || first->device != second->device || first->number >= second->number) return INVALID_ARGUMENT;
  for (unsigned i = 0; i < get->count; i++) {
    get->metrics[i].code = NOT_SUPPORTED;
    for (unsigned k = 0; k < first->device->ratio_count; k++) {
      Ratio *ratio = &first->device->ratios[k];
      if (ratio->id != get->metrics[i].id) continue;
      get->metrics[i].code = ratio->code;
      get->metrics[i].value = ratio->value;
    }
  }
  return SUCCESS;
}
/* An event set is told of what happens after it was made, to the devices registered with it, as from the driver. */
typedef struct { unsigned next; uint32_t registered; } EventSet;
API int nvmlEventSetCreate(EventSet **set) { READY(); *set = calloc(1, sizeof **set); (*set)->next = state->event_count; return SUCCESS; }
API int nvmlEventSetFree(EventSet *set) { free(set); return SUCCESS; }
API int nvmlDeviceGetSupportedEventTypes(Device *d, uint64_t *types) { ENTER(d, EVENT_TYPES); *types = d->event_types; return SUCCESS; }
API int nvmlDeviceRegisterEvents(Device *d, uint64_t types, EventSet *set) {
  ENTER(d, EVENT_TYPES);
  if (types & ~d->event_types) return NOT_SUPPORTED;
  set->registered |= 1u << (d - state->devices);
  return SUCCESS;
}
API int nvmlEventSetWait_v2(EventSet *set, EventData *data, unsigned milliseconds) {
  for (unsigned waited = 0; waited <= milliseconds; waited += 50, usleep(50000)) {
    int code = ready();
    if (code) return code;
    while (set->next < *(volatile uint32_t *)&state->event_count) {
      Event *event = &state->events[set->next++ % EVENTS];
      if (!(set->registered >> event->device & 1)) continue;
      *data = (EventData){ &state->devices[event->device], event->type, event->data, ~0u, ~0u };
      return SUCCESS;
    }
  }
  return TIMEOUT;
}
