"""`kolab train`: one training, or a study of many, as a recipe says. Plan, progress bar, report."""

import dataclasses
from pathlib import Path
from typing import Any

from kolab.errors import ConfigError
from kolab.recipe_file import parse_recipe


def main(argv: list[str]) -> int:
    """`kolab train --config RECIPE.yaml [--FIELD VALUE …] [--quick] [--resume]`. Returns 0, or 128 and
    the number of the signal that has ended a study early; raises KolabError.
    """
    quick = "--quick" in argv
    recipe, name = parse_recipe([word for word in argv if word != "--quick"])
    if recipe.study.kind:
        return _study(recipe, name, quick)
    if quick:
        recipe = dataclasses.replace(
            recipe,
            data=dataclasses.replace(recipe.data, rows=64),
            train=dataclasses.replace(recipe.train, epochs=1),
        )
    from kolab import doctor, processes, resume
    from kolab.plan import of_training
    from kolab.recipe import merge_adapter, prepare
    from kolab.report import keep_recipe, write_report
    from kolab.train import fit

    doctor.quieten()
    if not recipe.train.resume:
        resume.refuse_to_overwrite(Path(recipe.train.folder))  # fit would, when all has been loaded
    prepared = prepare(recipe)
    main_process = processes.launched()[0] == 0
    if main_process:
        print(of_training(prepared, name), flush=True)
        keep_recipe(recipe)
    history = fit(prepared.model, prepared.loaders, recipe.train, loss=prepared.loss)
    merge_adapter(prepared)
    report = write_report(prepared, history, name)  # under torchrun all processes score their share
    if main_process:
        print(report)
    return 0


def _study(recipe: Any, name: str, quick: bool) -> int:
    from kolab import doctor, processes, studies
    from kolab.checkpoint import locked, write_text
    from kolab.plan import of_study
    from kolab.report import keep_recipe

    if processes.launched()[1] > 1:
        raise ConfigError(
            "A study runs its trainings one after the other, in one process: start it without torchrun."
        )
    doctor.quieten()
    kind = studies.load(recipe.study.kind)
    recipe = kind.trimmed(recipe) if quick else recipe
    print(of_study(recipe, name), flush=True)
    keep_recipe(recipe)
    folder = Path(recipe.train.folder)
    with locked(folder):  # two at once would measure each row twice
        table, about = kind.run(recipe, folder, recipe.train.resume)
        text = f"# {name}\n\n{kind.report(table, about)}"
        write_text(folder / "report.md", text)
    print(f"\n{text}\nSaved in {folder}{' (trimmed: the numbers mean little)' * quick}.")
    return 128 + about["stopped"] if "stopped" in about else 0
