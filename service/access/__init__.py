"""Who calls, and what the caller may do: principals, tokens, grants, and one pure decision."""
