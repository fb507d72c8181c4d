"""Which effective batch is best, at one rate and number of epochs, and when the rate or the epochs follow the batch?

The claims: "accumulation changes nothing but memory", "best effective batch 256 for BERT, 64 for ModernBERT". The
published comparison trained all batches for the same epochs at the same rate, so the largest took 16 times fewer steps.
This is the recipe `accumulation_study.yaml`, recorded.
"""

import dataclasses
from pathlib import Path

import pandas as pd

from kolab.recipe_file import parse_recipe
from kolab.studies import batches


def run(*, quick: bool = False, seeds: int = 2, folder: str = "") -> tuple[pd.DataFrame, dict]:
    """One row a training: rate, epochs, updates, scores on the held-out reviews, seconds and memory.

    seeds: how many; a seed decides the head, the dropout and the order, and the weights of an encoder that has random
    ones; never the split. folder: keeps each row as it comes; a study begun there goes on. quick: two minutes.
    """
    recipe, _ = parse_recipe(["--config", "accumulation_study.yaml"])
    recipe = dataclasses.replace(recipe, study=dataclasses.replace(recipe.study, seeds=seeds))
    return batches.run(
        batches.trimmed(recipe) if quick else recipe, Path(folder) if folder else None, resume=True
    )
