"""Every recipe by its name: the product's and the lecture's."""

import difflib

from models.errors import SettingsError
from models.tasks import TASKS
from training import lecture
from training.admission import ADMISSION
from training.bikes import BIKES, BIKES_DAYS
from training.recipes import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (BIKES, BIKES_DAYS, ADMISSION, *lecture.RECIPES)
}


def task(name: str) -> str:
    """The name of a task. Raises SettingsError for any other name."""
    if name in TASKS:
        return name
    raise SettingsError(unknown("model", name, list(TASKS)))


def recipe(name: str, task: str) -> Recipe:
    """The recipe `name`, which must be one of the task's.

    Raises SettingsError for any other name.
    """
    names = [known.name for known in RECIPES.values() if known.task == task]
    if name in names:
        return RECIPES[name]
    raise SettingsError(unknown("recipe", name, names))


def unknown(what: str, name: str, known: list[str]) -> str:
    """The message for an unknown name: the closest known one, then all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"there is no {what} {name!r}.{meant} Known: {', '.join(known)}"
