"""The version of the release: both distributions, and `sellertrust --version`."""

VERSION = "0.3.0"
