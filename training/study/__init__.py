"""A study: one TOML file that states data, observation points, window, bad definition, model and gates."""

from training.study.context import ContextSource, EventPoints
from training.study.definition import BadRule, Observation, Study
from training.study.loading import load_study

__all__ = ["BadRule", "ContextSource", "EventPoints", "Observation", "Study", "load_study"]
