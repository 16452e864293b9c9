"""The training pipeline: `run(Job(table, study, policy))`."""
