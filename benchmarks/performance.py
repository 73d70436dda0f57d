"""Write docs/performance.md and its pictures from what the benchmarks wrote down. `python -m benchmarks.performance`

Sections stand in `benchmarks.performance_*`; of one whose command was not run yet the page has one line.
"""

import argparse
import sys
from pathlib import Path

import matplotlib as mpl

from benchmarks import performance_answers, performance_scale, performance_training

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
SECTIONS = (*performance_training.SECTIONS, *performance_answers.SECTIONS, *performance_scale.SECTIONS)
HEAD = """# Performance

How fast is it, beside what you would take instead and beside what the machine allows; what does more work cost; and
where do we lose? Each table names the command that measures it anew, with the day and the machine of its figures. The
page itself is written from them by `python -m benchmarks.performance`; the bounds that are held are in
[evidence](evidence.md), what was tried is in [the log](log.md).

Figures are medians with the least and the most. Unless a table says otherwise, times are CPU seconds of one thread: the
machine has two cores that other work shares, so that the clock tells little. Compare figures of one table, not of two.
"""


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args()
    mpl.use("agg")
    pictures = asked.page.parent / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    asked.page.write_text("\n".join([HEAD, *(section.text(pictures) for section in SECTIONS)]), "utf-8")
    there = sum(section.path.exists() for section in SECTIONS)
    print(f"{there} of {len(SECTIONS)} sections in {asked.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
