CORE_VERSION = "0.3.0"
"""The version of the scoring core, which every answer and every model names.

A number of its own: raise it when the same facts, model and policy get another answer, and only then.
"""
