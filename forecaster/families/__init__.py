"""The registry of families: a discriminated union of their configurations, and nothing else.

A new family is its own file, a line here, an example in a run file and a row in docs/families.md.
"""

from typing import Annotated

from pydantic import Field

from forecaster.families.ar import ArFamily
from forecaster.families.garch import GarchFamily
from forecaster.families.gru import GruFamily
from forecaster.families.har import HarFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.ngram import NgramFamily
from forecaster.families.pool import PoolFamily
from forecaster.families.rnn import RnnFamily
from forecaster.families.seq2seq import Seq2SeqFamily
from forecaster.families.transformer import TransformerFamily

AnyFamily = Annotated[
    NaiveFamily
    | NgramFamily
    | ArFamily
    | GarchFamily
    | HarFamily
    | MlpFamily
    | RnnFamily
    | LstmFamily
    | GruFamily
    | Seq2SeqFamily
    | TransformerFamily
    | PoolFamily,
    Field(discriminator="family"),
]

PoolFamily.model_rebuild(_types_namespace={"AnyFamily": AnyFamily})  # a pool's members are families themselves
