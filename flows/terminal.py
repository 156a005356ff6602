"""What a person sees: progress lines and errors on stderr, the outcome of a run on stdout."""

from __future__ import annotations

import errno
import functools
import logging
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec

import typer

from pipeline.errors import AngleAdaptError, ResourceError

if TYPE_CHECKING:
    from pipeline.runs import RunRecord

P = ParamSpec("P")

INTERRUPTED: Final = "interrupted; run the same command again to continue"
OUT_OF_MEMORY: Final = (
    "out of memory: lower train.batch_pairs or mine.pairs, or use a machine with more"
)


class Terminated(KeyboardInterrupt):
    """SIGTERM, treated as Ctrl-C is."""


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Make every error of ``command`` one line and an exit code; ``--debug`` shows where it was."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug"))
        show_progress()
        if not debug and not sys.warnoptions:
            warnings.simplefilter("ignore")  # what libraries tell their developers
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except BaseException as error:  # whatever it is, the user sees one line
            if debug:
                raise
            message, code = describe(error)
            typer.echo(message, err=True)
            raise typer.Exit(code) from None

    return run


def describe(error: BaseException) -> tuple[str, int]:
    """Return the line that tells a user of ``error``, and the exit code."""
    if isinstance(error, Terminated):
        return INTERRUPTED, 128 + signal.SIGTERM
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, 128 + signal.SIGINT
    message, code = _explained(error)
    return "error: " + " ".join(message.split()), code


def _explained(error: BaseException) -> tuple[str, int]:
    text = str(error)
    if isinstance(error, AngleAdaptError):
        return text, error.exit_code
    if _is_out_of_memory(error):
        return OUT_OF_MEMORY, ResourceError.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        advice = "free some, or set ANGLE_ADAPT_HOME to another disk"
        return f"no space left on the disk{where}: {advice}", ResourceError.exit_code
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}", 1
    return f"unexpected {type(error).__name__}: {text or 'no message'}; --debug shows where", 1


def _is_out_of_memory(error: BaseException) -> bool:
    named = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or named or "can't allocate memory" in str(error)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def end_like_interrupts() -> None:
    """Let SIGTERM stop a command as Ctrl-C does: at once, with what is finished kept."""
    signal.signal(signal.SIGTERM, _terminate)


class ProgressLines(logging.Handler):
    """Prints log records as plain lines between progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, warnings named as such."""
        from rich.console import Console  # noqa: PLC0415 - not needed for --help
        from tqdm import tqdm  # noqa: PLC0415

        if record.name == "pipeline.graph" and record.levelno < logging.WARNING:
            return  # the flow's own lines say the same of every stage
        severe = record.levelno >= logging.WARNING
        start = f"{record.levelname.lower()}: " if severe else ""
        start = start or ("" if record.name.startswith("flows") else "  ")
        text = start + record.getMessage()
        style = "yellow" if severe else "dim" if text.startswith("  ") else ""
        console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        with tqdm.external_write_mode(file=sys.stderr):
            console.print(text, style=style, markup=False)


def show_progress() -> None:
    """Print what the library logs; its records reach Prefect by another way."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it says a line for every request
    for name in ("pipeline", "flows"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers = [one for one in logger.handlers if not isinstance(one, ProgressLines)]
        logger.addHandler(ProgressLines())


def summary(record: RunRecord) -> str:
    """Return the outcome of a run as a few aligned lines."""
    cached = sum(stage.cached for stage in record.stages)
    waited = sum(stage.waited for stage in record.stages)
    lines = [("verdict", record.verdict or record.status)]
    lines += [("", reason) for reason in record.evaluation.get("reasons", ())]
    lines += _figures(record.evaluation)
    if record.partial:
        lines.append(("partial", f"{record.partial}; run again to ask for what is missing"))
    if record.report:  # beside it lie links to the dataset and the model
        names = [name for name in ("dataset", "model") if getattr(record, name)]
        lines.append(("report", record.report))
        lines += [(name, str(Path(record.report).with_name(name))) for name in names]
    stages = f"{len(record.stages)} stages, {cached} of them cached, {waited:.1f} s"
    lines.append(("run", f"{record.id}: {stages}"))
    if record.url:
        lines.append(("pages", record.url))
    return "\n".join(f"{name:10}{text}" for name, text in lines)


def _figures(evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    labels, lines = evaluation.get("labels", {}), []
    for one in evaluation.get("sets", ()):
        measure = labels.get(one["measure"], one["measure"])
        change = _change(one["found"], evaluation.get("confidence", 0.95))
        lines.append(("", f"{one['name']}, {one['about']}: {measure} {change}"))
    if (chosen := evaluation.get("strength", {}).get("chosen", 1.0)) != 1.0:
        lines.append(("", f"the adapter has {chosen:g} of its strength: {_reason(evaluation)}"))
    return [("measured", lines[0][1]), *lines[1:]] if lines else []


def _reason(evaluation: dict[str, Any]) -> str:
    return str(evaluation["strength"]["reason"]).partition(": ")[2]


def _change(figure: dict[str, Any], confidence: float) -> str:
    return (
        f"{figure['base']:.3f} base, {figure['adapted']:.3f} adapted, difference "
        f"{figure['difference']:+.3f} ({100 * confidence:g} % interval {figure['low']:+.3f} to "
        f"{figure['high']:+.3f})"
    )
