from typing import Any

from scoring.base.errors import ConfigurationWrong, ModelNotFound, PolicyNotFound
from service.bootstrap import open_rescoring
from service.cli.output import Format, emit, say
from service.cli.progress import StepProgress
from service.settings import Settings, load


def verify_generations(sample: int, output: Format) -> list[dict[str, Any]]:
    """Verify all generations of the configured folder, `sample` answers of each (0: all); emit and return a row each."""
    from service.files import find_exposure
    from service.scores.book.generation_file import day_of

    settings = load()
    folder = settings.generations
    if folder.exists() and (exposure := find_exposure(folder)):
        raise ConfigurationWrong(exposure)
    paths = sorted(path for path in folder.glob("*") if day_of(path.name) is not None)
    if not paths:
        say(f"{folder} holds no generation; make one by: sellertrust rescore")
    with StepProgress() as progress:
        rows = [_verify(settings, path, sample, progress) for path in paths]
    emit(rows, output)
    return rows


def _verify(settings: Settings, path: Any, sample: int, progress: StepProgress) -> dict[str, Any]:
    from service.scale.rescoring import find_differing
    from service.scores.book.generation_file import GenerationDamaged, GenerationFile

    row = {"generation": path.name, "state": "verified", "same": 0, "differ": 0}
    try:
        file = GenerationFile(path)
        opened = open_rescoring(settings, file.head.model, file.head.policy)
        with opened.ledger:
            same, differing = find_differing(opened, file, sample, progress)
    except GenerationDamaged as error:
        say(
            f"error: {path.name} is damaged: {error}; delete it, and make it anew: sellertrust rescore,"
            " with the --day, --model and --policy that it was made with"
        )
        return row | {"state": "damaged"}
    except (PolicyNotFound, ModelNotFound) as error:
        say(f"{path.name}: not compared: {error.message}")
        return row | {"state": "not compared"}
    for name in differing:
        say(f"error: {name}: differs from its recomputation in {path.name}")
    return row | {"state": "differs" if differing else "verified", "same": same, "differ": len(differing)}
