"""The tasks that the project knows, by name."""

from models.admission import ADMISSION
from models.bikes import BIKES
from models.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (BIKES, ADMISSION)}
