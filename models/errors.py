"""The errors of the project, as one tree. Each message is one line that a person can act on.

ProjectError
├── SettingsError          a setting has a value that cannot be used
├── DataError              a data file cannot be used
├── TrainingError          a training cannot start or go on
│   └── DivergedError      the loss or a weight is no longer finite
├── InputError             rows that a model cannot take
├── BundleError            a bundle is refused
│   ├── UnreadableError    the system does not let a file of a bundle be read, at least not now
│   └── SignatureError     a bundle is unsigned, or signed with another key
└── StoreError             a store cannot be read or written
    └── PointerError       what should name the active version does not
"""

_LONGEST_LINE = 300


class ProjectError(Exception):
    """Base of every error that this project raises on purpose."""


class SettingsError(ProjectError):
    """A setting has a value that cannot be used; the message names the setting."""


class DataError(ProjectError):
    """A data file cannot be used; the message names the file and, if there is one, the row."""


class TrainingError(ProjectError):
    """A training cannot start or go on; the message says what to change."""


class DivergedError(TrainingError):
    """The loss or a weight is no longer finite."""


class InputError(ProjectError):
    """Rows that a model cannot take; the message names the field."""


class BundleError(ProjectError):
    """A bundle is refused; the message names the file and the array or key at fault.

    What it repeats may come from whoever made the bundle, so it is made a line that can be read. A long one
    is cut in the middle: it begins with where and ends with why.
    """

    def __init__(self, message: str) -> None:
        line, half = message, _LONGEST_LINE // 2
        if len(message) > _LONGEST_LINE:
            line = f"{message[:half]} ... {message[-half:]}"
        super().__init__("".join(c if c.isprintable() else "?" for c in line))


class UnreadableError(BundleError):
    """The system does not let a file of a bundle be read; that may pass."""


class SignatureError(BundleError):
    """A bundle is unsigned where a key is set, or signed with another key."""


class StoreError(ProjectError):
    """A store cannot be read or written; the message names the folder."""


class PointerError(StoreError):
    """What should name the active version does not; activating one replaces it."""
