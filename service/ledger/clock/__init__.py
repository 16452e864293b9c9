"""Tell the present of the ledger: its clock, its corrected record times and its last entry."""
