/* A libamd_smi.so without a GPU. What each call answers lies in a file (FAKE_AMDSMI_STATE) that a test fills with structures of
 * AMD's own binding. STUBS, generated from the binding, has every other symbol that it wants: NOT_SUPPORTED. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define API __attribute__((visibility("default")))
enum { SUCCESS = 0, NOT_SUPPORTED = 2, DRIVER_NOT_LOADED = 34, INSUFFICIENT_SIZE = 41 };
enum { DEVICES = 8, CALLS = 32, BYTES = 8192 };
typedef struct { int32_t code; uint32_t size; unsigned char bytes[BYTES]; } Answer;
typedef struct { int32_t init_code; uint32_t count; Answer answers[DEVICES][CALLS]; } State;
static State *state;
static uintptr_t handle_of(unsigned index) { return index + 1; }

API int amdsmi_init(uint64_t flags) {
  (void)flags;
  const char *path = getenv("FAKE_AMDSMI_STATE");
  int file = path ? open(path, O_RDWR) : -1;
  if (file < 0) return DRIVER_NOT_LOADED;
  state = mmap(NULL, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return state == MAP_FAILED ? DRIVER_NOT_LOADED : state->init_code;
}
API int amdsmi_get_socket_handles(uint32_t *count, uintptr_t *handles) {
  if (handles) for (unsigned i = 0; i < *count; i++) handles[i] = handle_of(i);
  *count = state->count;
  return SUCCESS;
}
API int amdsmi_get_processor_handles(uintptr_t socket, uint32_t *count, uintptr_t *handles) {
  if (handles) handles[0] = socket; /* one GPU a socket */
  *count = 1;
  return SUCCESS;
}
static int answer(uintptr_t handle, int call, unsigned index, void *out) {
  Answer *found = &state->answers[handle - 1][call];
  if (found->code) return found->code;
  memcpy(out, found->bytes + (size_t)index * found->size, found->size);
  return SUCCESS;
}
/* Calls with one structure as their answer, and calls with a selector before it. */
#define ONE(number, name) API int name(uintptr_t handle, void *out) { return answer(handle, number, 0, out); }
#define SELECTED(number, name) API int name(uintptr_t handle, unsigned which, void *out) { return answer(handle, number, which, out); }
ONE(0, amdsmi_get_gpu_device_bdf)
ONE(1, amdsmi_get_gpu_asic_info)
ONE(2, amdsmi_get_gpu_driver_info)
ONE(3, amdsmi_get_gpu_vram_usage)
ONE(4, amdsmi_get_gpu_activity)
ONE(5, amdsmi_get_power_info)
SELECTED(6, amdsmi_get_power_cap_info)
SELECTED(7, amdsmi_get_clock_info)
ONE(8, amdsmi_get_gpu_total_ecc_count)
ONE(9, amdsmi_get_pcie_info)
ONE(10, amdsmi_get_gpu_xgmi_link_status)
ONE(11, amdsmi_get_violation_status)
ONE(12, amdsmi_get_link_metrics)
API int amdsmi_get_gpu_device_uuid(uintptr_t handle, unsigned *length, char *text) { (void)length; return answer(handle, 13, 0, text); }
API int amdsmi_get_temp_metric(uintptr_t handle, unsigned sensor, unsigned metric, int64_t *out) { (void)metric; return answer(handle, 14, sensor, out); }
API int amdsmi_get_energy_count(uintptr_t handle, uint64_t *count, float *resolution, uint64_t *time) {
  struct { uint64_t count; float resolution; } found = { 0, 0 };
  int code = answer(handle, 15, 0, &found);
  *count = found.count;
  *resolution = found.resolution;
  *time = 1;
  return code;
}
static int list(uintptr_t handle, int call, uint32_t *count, void *out, unsigned bytes) {
  Answer *found = &state->answers[handle - 1][call];
  if (found->code) return found->code;
  uint32_t here = found->size / bytes;
  if (out) { if (*count < here) return INSUFFICIENT_SIZE; memcpy(out, found->bytes, found->size); }
  *count = here;
  return SUCCESS;
}
API int amdsmi_get_gpu_bad_page_info(uintptr_t handle, uint32_t *count, void *pages) { return list(handle, 16, count, pages, 24); }
API int amdsmi_get_gpu_process_list(uintptr_t handle, uint32_t *count, void *found) { return list(handle, 17, count, found, PROCESS_BYTES); }
#define STUB(name) API int name(void) { return NOT_SUPPORTED; }
STUBS
