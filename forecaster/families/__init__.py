"""The registry of families: a discriminated union of their configurations, and nothing else.

A new family is its own file, a line here, an example in a run file and a row in docs/families.md.
"""

from typing import Annotated

from pydantic import Field

from forecaster.families.ar import ArFamily
from forecaster.families.gru import GruFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.rnn import RnnFamily
from forecaster.families.transformer import TransformerFamily

AnyFamily = Annotated[
    NaiveFamily | ArFamily | MlpFamily | RnnFamily | LstmFamily | GruFamily | TransformerFamily,
    Field(discriminator="family"),
]
