"""What do three encoders, fitted weights and tuned thresholds gain over one model, and how much of it is luck?

The claims: "the ensemble adds 3.4 points, the thresholds another 3.8". Against the best model alone stand: equal
weights (of probabilities, of logits), weights by F1, by log loss and searched, and three seeds of one encoder; each
with thresholds of 0.5 and fitted. Intervals over the test reviews, and over reviews and seeds. This is the recipe
`unsmile_ensemble.yaml`, recorded over several seeds.
"""

import dataclasses
import shutil
from pathlib import Path

import pandas as pd

from kolab import memory
from kolab.recipe_file import parse_recipe
from kolab.studies import ensemble


def run(
    *, quick: bool = False, seeds: int = 5, epochs: int = 6, folder: str = ""
) -> tuple[pd.DataFrame, dict]:
    """One row a way of deciding, threshold and seed, and one over all seeds.

    seeds: of every encoder; a seed decides the head, the dropout and the order, and the weights of the encoder that has
    random ones; never the split. epochs: of every training, at most. folder: keeps each training as it comes; begun
    again, the study goes on there (default: bench-ensemble beside your progress file, until all is done).
    quick: two minutes.
    """
    recipe, _ = parse_recipe(["--config", "unsmile_ensemble.yaml"])
    recipe = dataclasses.replace(
        recipe,
        train=dataclasses.replace(recipe.train, epochs=epochs),
        study=dataclasses.replace(recipe.study, seeds=seeds),
    )
    if quick:
        return ensemble.run(ensemble.trimmed(recipe), Path(folder) if folder else None, resume=True)
    home = Path(folder) if folder else memory.home() / "bench-ensemble"
    found = ensemble.run(recipe, home, resume=True, keep_models=False)
    if not folder:
        shutil.rmtree(home)
    return found
