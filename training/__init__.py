"""For data scientists: from the ledger's export to a certified model."""
