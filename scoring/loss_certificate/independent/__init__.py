"""The independent check of a loss certificate: it imports nothing from the code that makes one."""
