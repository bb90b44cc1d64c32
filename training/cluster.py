"""Many independent tasks: on this machine's cores, or on the machines of a Dask cluster.

Both by joblib. A task is a call of a module's function, and results come back in any order, as soon as they
are there. On a cluster the task of a killed worker is repeated by another one, so tasks must be idempotent.
"""

import asyncio
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from models.errors import SettingsError

CONNECT_SECONDS = 10


def map_unordered(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, ...]],
    jobs: int = 1,
    dask: str | None = None,
) -> Iterator[Any]:
    """The results of `function(*task)` for every task, in the order in which they finish.

    jobs : processes on this machine; 1 for this process alone.
    dask : address of a cluster's scheduler, tcp://host:port, to use all its workers instead.
    Raises SettingsError when there is no such cluster, and when a process of `jobs` is killed.
    """
    with backend(dask):
        parallel = joblib.Parallel(
            n_jobs=-1 if dask else jobs, batch_size=1, return_as="generator_unordered"
        )
        try:
            with nullcontext() if dask or jobs == 1 else _ctrl_c_for_this_process():
                results = parallel(joblib.delayed(function)(*task) for task in tasks)
            yield from results
        except TerminatedWorkerError:
            raise SettingsError(
                f"--jobs {jobs}: one of the processes was killed, as happens when memory runs out; "
                "the same command with fewer goes on from here"
            ) from None


@contextmanager
def _ctrl_c_for_this_process() -> Iterator[None]:
    """Processes that are started meanwhile ignore Ctrl-C, which a terminal sends to all.

    Each would show a traceback. They are ended by this process, which gets it, too.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def backend(dask: str | None) -> Iterator[None]:
    """A context in which joblib uses the workers of the cluster `dask`, unless it is None.

    Raises SettingsError when there is no such cluster.
    """
    if dask is None:
        yield
        return
    try:
        from distributed import Client  # noqa: PLC0415  # an extra, and slow to import
    except ModuleNotFoundError:
        raise SettingsError(
            "--dask needs the package distributed: pip install 'backprop-service[dask]'"
        ) from None
    _check(dask)
    with (
        Client(dask, timeout=CONNECT_SECONDS),  # type: ignore[no-untyped-call]
        joblib.parallel_config(backend="dask"),
    ):
        yield


def _check(dask: str) -> None:
    """Raise SettingsError unless a scheduler with a worker answers; a Client might wait for ever."""
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
    """How the server at an address identifies itself. Raises TimeoutError and what `connect` raises."""
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
