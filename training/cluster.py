"""Many independent tasks: on this machine's cores, or on the machines of a Dask cluster.

Both are joblib's: a task is a call of a function of a module, its result comes back as soon as it is
there, in any order. On a cluster a task whose worker is killed is done again by another one, so a
task must be safe to repeat.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib

from models.errors import SettingsError

CONNECT_SECONDS = 10


def map_unordered(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, ...]],
    jobs: int = 1,
    dask: str | None = None,
) -> Iterator[Any]:
    """`function(*task)` for every task, as they are done.

    jobs : processes of this machine, 1 for this process alone.
    dask : address of a cluster's scheduler, tcp://host:port, whose workers are all used then.
    Raises SettingsError when there is no such cluster.
    """
    with _backend(dask):
        parallel = joblib.Parallel(
            n_jobs=-1 if dask else jobs, batch_size=1, return_as="generator_unordered"
        )
        yield from parallel(joblib.delayed(function)(*task) for task in tasks)


@contextmanager
def _backend(dask: str | None) -> Iterator[None]:
    if dask is None:
        yield
        return
    try:
        from distributed import Client  # noqa: PLC0415  # an extra, and slow to import
    except ModuleNotFoundError:
        raise SettingsError("--dask needs the package distributed: the extra `dask`") from None
    try:
        client = Client(dask, timeout=CONNECT_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(f"--dask {dask}: no scheduler answers there ({reason})") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise SettingsError(f"--dask {dask}: the cluster has no worker")
        with joblib.parallel_config(backend="dask"):
            yield
