"""The ledger's present: its clock, its corrected record times and its last entry."""
