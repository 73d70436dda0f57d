"""Channels: causal functions on a panel, one table name -> function -> unit; one file a group.

Row t of a channel depends on rows <= t of the panel only; tests change everything after t and compare bits.
"""

from forecaster.features.base import Feature, feature
from forecaster.features.channels import Channels, column, compute, parse, subjects
from forecaster.features.table import FEATURES

__all__ = ["FEATURES", "Channels", "Feature", "column", "compute", "feature", "parse", "subjects"]
