"""Real prices and recorded answers, beside the project and never in it; where they lack, their tests are skipped.

One reason and one place: the data are not ours to copy, and a clone elsewhere must pass its tests without them.
"""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

with_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data (../shared/data) are not beside the project")
