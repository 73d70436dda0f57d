"""Figures that others published, with where they stand, and the values that a recomputation must meet.

Sources:
    paper      A. Zeng et al., Are transformers effective for time series forecasting?, AAAI (2023), table 2, read
               from the image cure-lab/LTSF-Linear pics/Mul-results.png (LTSF-Benchmark.md there swaps NLinear and
               DLinear on exchange_rate; DLinear's figures on it are disputed, issue 39).
    gluonts    evaluations/ in the git history of awslabs/gluonts, removed by 815ee1437; mean_wQuantileLoss.
    recomputed By an independent script from the raw data, in one more digit than the paper prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.bench.protocols import HORIZONS, Name


@dataclass(frozen=True)
class Row:
    """Errors of one model at the long horizons."""

    model: str
    mse: tuple[float, ...]
    mae: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.mse) == len(self.mae) == len(HORIZONS):
            raise ValueError(f"{self.model} needs a figure for each of {HORIZONS}")


PAPER: Mapping[Name, tuple[Row, ...]] = {
    "exchange_rate": (
        Row("repeat last", (0.081, 0.167, 0.305, 0.823), (0.196, 0.289, 0.396, 0.681)),
        Row("Linear", (0.082, 0.167, 0.328, 0.964), (0.207, 0.304, 0.432, 0.750)),
        Row("NLinear", (0.089, 0.180, 0.331, 1.033), (0.208, 0.300, 0.415, 0.780)),
        Row("DLinear (disputed)", (0.081, 0.157, 0.305, 0.643), (0.203, 0.293, 0.414, 0.601)),
        Row("FEDformer", (0.148, 0.271, 0.460, 1.195), (0.278, 0.380, 0.500, 0.841)),
        Row("Autoformer", (0.197, 0.300, 0.509, 1.447), (0.323, 0.369, 0.524, 0.941)),
        Row("Informer", (0.847, 1.204, 1.672, 2.478), (0.752, 0.895, 1.036, 1.310)),
    ),
    "etth1": (
        Row("repeat last", (1.295, 1.325, 1.323, 1.339), (0.713, 0.733, 0.744, 0.756)),
        Row("NLinear", (0.374, 0.408, 0.429, 0.440), (0.394, 0.415, 0.427, 0.453)),
        Row("DLinear", (0.375, 0.405, 0.439, 0.472), (0.399, 0.416, 0.443, 0.490)),
        Row("FEDformer", (0.376, 0.420, 0.459, 0.506), (0.419, 0.448, 0.465, 0.507)),
        Row("Autoformer", (0.449, 0.500, 0.521, 0.514), (0.459, 0.482, 0.496, 0.512)),
        Row("Informer", (0.865, 1.008, 1.107, 1.181), (0.713, 0.792, 0.809, 0.865)),
    ),
}
"""The paper's table; its first row is "repeat last", on the windows that a loader of 32 with `drop_last` leaves."""

REPEAT_DROP_LAST: Mapping[Name, tuple[float, ...]] = {
    "exchange_rate": (0.0807, 0.1670, 0.3054, 0.8226),
    "etth1": (1.2946, 1.3251, 1.3233, 1.3386),
}
"""MSE of "repeat last", recomputed, on the paper's windows."""

REPEAT_ALL: Mapping[Name, tuple[float, ...]] = {
    "exchange_rate": (0.0811, 0.1671, 0.3057, 0.8101),
    "etth1": (1.2944, 1.3249, 1.3299, 1.3351),
}
"""MSE of "repeat last", recomputed, on all windows."""

GLUONTS: Mapping[str, float] = {
    "DeepAR": 0.02326,
    "NPTS": 0.02121,
    "MQ-CNN": 0.01569,
    "SeasonalNaive(5)": 0.01075,
    "MLP": 0.00903,
    "Transformer": 0.00877,
    "ARIMA": 0.00798,
    "ETS": 0.00780,
}
"""mean_wQL on exchange_rate. MQ-RNN's .00361 is left out: it contradicts the .01519 that is its own ND."""

SEASONAL_NAIVE = GLUONTS["SeasonalNaive(5)"]
