"""XIDs of NVIDIA GPUs: from NVML's events and the kernel's log, each counted once."""
