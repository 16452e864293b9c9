"""Alembic's migrations of the ledger's database, run by `service.ledger.database.schema`."""
