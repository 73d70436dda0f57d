"""Figures that people look at; each function draws one from plain arrays, none shows or saves it."""

from pipelines.figures.attention import attention_by_age, attention_map
from pipelines.figures.comparison import calibration, leaderboard, pit
from pipelines.figures.forecast import fan_chart
from pipelines.figures.gates import gates
from pipelines.figures.importance import importance
from pipelines.figures.lags import lag_weights
from pipelines.figures.memory import gradient_through_time, memory
from pipelines.figures.study import study
from pipelines.figures.trading import trading
from pipelines.figures.training import learning_curves, training_curves

__all__ = [
    "attention_by_age",
    "attention_map",
    "calibration",
    "fan_chart",
    "gates",
    "gradient_through_time",
    "importance",
    "lag_weights",
    "leaderboard",
    "learning_curves",
    "memory",
    "pit",
    "study",
    "trading",
    "training_curves",
]
