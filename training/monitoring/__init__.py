"""What became of a model in use: drift, backtest, outcomes."""
