"""The zoo: nine schedules on a noisy quadratic of 1,000 dimensions, what `fastsched demo` runs.

    python scripts/zoo.py [--quick] [-o FIGURE]

All start at or rise to one peak rate. Prints the losses at the end beside the exact ones, and
draws each schedule's loss, with the quantiles of its trajectories, and its rate.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from study import Outcome, main

from fastsched.demo import draw_zoo, run_zoo, zoo_table


def study(quick: bool) -> Outcome:
    results = run_zoo(2000 if quick else 20_000, progress=False)
    with plt.rc_context({"axes.grid": False}):  # two scales in a panel
        figure = draw_zoo(results)
    return Outcome(figure, zoo_table(results), [])


if __name__ == "__main__":
    main(study)
