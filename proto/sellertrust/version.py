"""The version of both distributions, and of `sellertrust --version`."""

VERSION = "0.3.0"
