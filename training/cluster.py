"""Many independent tasks: on this machine's cores, or on the machines of a Dask cluster.

Both are joblib's: a task is a call of a function of a module, its result comes back as soon as it is
there, in any order. On a cluster a task whose worker is killed is done again by another one, so a
task must be safe to repeat.
"""

import asyncio
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
    with backend(dask):
        parallel = joblib.Parallel(
            n_jobs=-1 if dask else jobs, batch_size=1, return_as="generator_unordered"
        )
        yield from parallel(joblib.delayed(function)(*task) for task in tasks)


@contextmanager
def backend(dask: str | None) -> Iterator[None]:
    """What is given to joblib meanwhile is done by the workers of `dask`, as in `map_unordered`."""
    if dask is None:
        yield
        return
    try:
        from distributed import Client  # noqa: PLC0415  # an extra, and slow to import
    except ModuleNotFoundError:
        raise SettingsError("--dask needs the package distributed: the extra `dask`") from None
    _check(dask)
    with (
        Client(dask, timeout=CONNECT_SECONDS),  # type: ignore[no-untyped-call]
        joblib.parallel_config(backend="dask"),
    ):
        yield


def _check(dask: str) -> None:
    """Raise SettingsError if no scheduler with a worker answers: a Client might wait for it for ever."""
    try:
        said = asyncio.run(_identity(dask))
    except TimeoutError:
        fault = f"no scheduler answers there within {CONNECT_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001  # another server's bytes may end in anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        fault = f"must be the address of a scheduler, tcp://host:port ({reason})"
    else:
        if said.get("workers"):
            return
        is_scheduler = said.get("type") == "Scheduler"
        fault = "the cluster has no worker" if is_scheduler else "what answers is no scheduler"
    raise SettingsError(f"--dask {dask}: {fault}")


async def _identity(address: str) -> dict[str, Any]:
    """What a scheduler, or a worker, says of itself. Raises TimeoutError and what `connect` does."""
    from distributed.core import connect  # type: ignore[attr-defined]  # noqa: PLC0415  # as above
    from distributed.security import Security  # noqa: PLC0415

    certificates = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    async with asyncio.timeout(CONNECT_SECONDS):
        comm = await connect(address, **certificates)  # type: ignore[no-untyped-call]
        try:
            await comm.write({"op": "identity", "reply": True})
            return dict(await comm.read())
        finally:
            comm.abort()
