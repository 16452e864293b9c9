CORE_VERSION = "0.3.0"
"""The version of the scoring core, in every answer and every model.

Raise it exactly when the same facts, model and policy give another answer.
"""
