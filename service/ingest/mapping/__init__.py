"""The mapping language: what a foreign table's rows state as entries. Pure, as the core is."""
