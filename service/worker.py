"""The process of one worker in a group: `python -m service.worker LISTENER PIPE`.

Started by `service.workers`. LISTENER and PIPE are the numbers of inherited file descriptors; the settings
come from the environment.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from models.errors import ProjectError
from service.launch import answer
from service.settings import Settings
from service.workers import BEAT, REFUSED, UP

_MOST_WORDS = 4000
"""Bytes that a pipe takes in one piece."""


class Beat:
    """Tells the supervisor through a pipe that the event loop is alive; false if the supervisor is gone."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._word = UP
        os.set_blocking(pipe, False)

    def __call__(self) -> bool:
        """One beat."""
        try:
            os.write(self._pipe, self._word)
        except BlockingIOError:
            return True  # the supervisor is slow, not gone
        except BrokenPipeError:
            return False
        self._word = BEAT
        return True

    def refuse(self, words: str) -> None:
        """Say why the worker cannot start; the supervisor says it once for all workers."""
        with suppress(OSError):  # the supervisor is gone
            os.write(self._pipe, REFUSED + words.encode()[:_MOST_WORDS])


def main(arguments: list[str]) -> int:
    """Serve until a signal; returns the exit status."""
    listener, pipe = (int(argument) for argument in arguments)
    settings = Settings.from_environment(os.environ)
    beat = Beat(pipe)
    try:
        return answer(settings, socket.socket(fileno=listener), beat, in_group=True)
    except ProjectError as error:
        beat.refuse(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
