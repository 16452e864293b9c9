"""The version of the scoring core, which every answer names."""

CORE_VERSION = "0.3.0"
