"""The independent check of a loss certificate: it imports nothing of what makes one."""
