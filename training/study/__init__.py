"""A study: one TOML file that states data, observation points, window, bad definition, model and gates."""
