"""GPU metrics through NVML, read in a child process."""
