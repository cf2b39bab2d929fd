"""Signal processing that several plugins need."""
