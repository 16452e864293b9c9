"""The gates that a model has to pass, and the findings that they judge by."""
