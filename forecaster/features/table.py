"""The features that ship: one table name -> function, unit, warm-up."""

from collections.abc import Mapping
from types import MappingProxyType

from forecaster.features import calendar, macro, momentum, price, volatility, volume
from forecaster.features.base import Feature, features_of

FEATURES: Mapping[str, Feature] = MappingProxyType(
    dict(features_of(price, volume, momentum, volatility, macro, calendar))
)
