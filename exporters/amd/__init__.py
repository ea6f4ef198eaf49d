"""GPU metrics of AMD Instinct through AMD SMI, read in a child process."""
