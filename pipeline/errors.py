"""Every error a user can cause, one class per thing to do about it.

AngleAdaptError
├── ConfigError        the domain file or an override is wrong: edit it
├── InputError         a file, corpus or model named by the user cannot be used
│   ├── NotEnoughText  the corpus is smaller than the settings ask for
│   └── NotFetchedError  text from elsewhere was never fetched: let a run fetch it
├── ArtifactError      stored data is missing, damaged or of a newer version: it is recomputed
├── LeakageError       evaluation text was found in training data
├── ResourceError      the machine lacks something: disk, memory, an optional package
└── EndpointError      a chat endpoint refuses or is down: mend that, run again; answers are kept

Messages are one sentence that says what and where, and one that says what to do. The command line
prints them without a traceback and exits with ``exit_code``.
"""


class AngleAdaptError(Exception):
    """Base of all errors that are the user's to mend; anything else is a defect of ours."""

    exit_code = 1


class ConfigError(AngleAdaptError):
    """The domain file or an override is wrong."""

    exit_code = 2


class InputError(AngleAdaptError):
    """Something the user named cannot be read or used."""

    exit_code = 3


class NotEnoughText(InputError):  # noqa: N818 - reads as what it is
    """The corpus holds fewer usable texts than the settings need."""


class NotFetchedError(InputError):
    """Text from elsewhere is not on the shelf; a run that may fetch brings it there."""


class ArtifactError(AngleAdaptError):
    """Stored data is missing, damaged or from a newer version."""

    exit_code = 4


class LeakageError(AngleAdaptError):
    """Evaluation text was found in training data."""

    exit_code = 5


class ResourceError(AngleAdaptError):
    """The machine lacks something the work needs."""

    exit_code = 6


class EndpointError(AngleAdaptError):
    """A chat endpoint cannot be used; what it answered before is kept."""

    exit_code = 7
