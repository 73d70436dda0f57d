"""Third parties keep to themselves: the terminal says what matters. In every process that does work."""

import warnings
from logging import ERROR, WARNING, getLogger


def hush() -> None:
    """No warnings, and only errors from those who announce themselves."""
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning", "mlflow", "alembic"):
        getLogger(name).setLevel(ERROR if "lightning" in name else WARNING)
