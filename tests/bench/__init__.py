"""Benchmarks: each a module with `run(say) -> figures`, listed by its docstring's first line."""
