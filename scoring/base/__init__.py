"""Give every room its errors, enumerations, times and arrays."""
