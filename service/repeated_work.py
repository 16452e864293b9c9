from collections.abc import Callable
from threading import Event

from scoring.base.errors import SellertrustError


def repeat(
    work: Callable[[], object],
    stop: Event,
    seconds: float,
    report: Callable[[str], None],
    silent: tuple[type[Exception], ...] = (),
) -> None:
    """Call `work` until `stop` is set, and wait `seconds` after each call; blocks the thread.

    `report` gets each new problem once, and none of the errors in `silent`.
    """
    reported = ""
    while not stop.is_set():
        try:
            work()
            reported = ""
        except silent:
            pass
        except Exception as error:  # noqa: BLE001 (whatever it is, a later call may succeed)
            problem = describe_problem(error)
            if problem != reported:
                report(reported := problem)
        stop.wait(seconds)


def describe_problem(error: Exception) -> str:
    """Return an error's text, with its class unless it is one of ours."""
    return str(error) if isinstance(error, SellertrustError) else f"{type(error).__name__}: {error}"
