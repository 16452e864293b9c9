import io
import json
import re
import threading
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.processors import JSONRenderer

from scoring.base.errors import ConfigurationWrong
from service.api.telemetry import logs
from service.api.telemetry.call_records import REFUSAL_LINES_A_SECOND, LineLimiter
from service.api.telemetry.logs import Pseudonyms, load_or_make_key, make_log, redact, render_json
from service.engine import turnstile
from tests.helpers.callers import TokenIssuer, write_grants
from tests.helpers.limits import Limit
from tests.helpers.servers import running_server

SELLER = "marketplaces/acme/sellers/s-17"


def test_a_pseudonym_holds_as_long_as_its_key() -> None:
    one, same, other = Pseudonyms(b"key"), Pseudonyms(b"key"), Pseudonyms(b"another")
    assert one(SELLER) == same(SELLER)
    assert one(SELLER) != other(SELLER)
    assert one(SELLER) != one("marketplaces/other/sellers/s-17")


def test_the_key_of_pseudonyms_is_made_once_and_refused_if_short(tmp_path: Path) -> None:
    file = tmp_path / "key"
    assert load_or_make_key(file) == load_or_make_key(file)
    assert (len(file.read_text()), file.stat().st_mode & 0o777) == (64, 0o600)
    file.write_text("hunter2")
    with pytest.raises(ConfigurationWrong, match="at least 16 bytes"):
        load_or_make_key(file)


def test_a_traceback_keeps_no_seller() -> None:
    pseudonyms = Pseudonyms(b"key")
    text = redact(f"KeyError: 's-17' of {SELLER}, not s-170, nor s-17; seller:s-17, s-17.", [SELLER], pseudonyms)
    name = pseudonyms(SELLER)
    assert text == (
        f"KeyError: '{name}' of marketplaces/acme/sellers/{name}, not s-170, nor {name}; seller:{name}, {name}."
    )


def test_redacting_many_sellers_takes_one_pass() -> None:
    sellers = [f"marketplaces/acme/sellers/s-{n}" for n in range(10_000)]
    text = redact("s-1 s-9999 " * 10_000, sellers, Pseudonyms(b"key"))
    assert "s-" not in text


def test_the_format_follows_the_stream_unless_told() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, pipe = Terminal(), io.StringIO()
    make_log("auto", "info", terminal).info("serving")
    make_log("auto", "info", pipe).info("serving")
    assert not terminal.getvalue().startswith("{")
    assert "serving" in terminal.getvalue()
    assert json.loads(pipe.getvalue())["event"] == "serving"


def test_a_traceback_on_the_console_shows_no_local_variables() -> None:
    stream = io.StringIO()
    secret = "hunter" + "2"
    try:
        raise ValueError("no number")
    except ValueError as error:
        make_log("console", "info", stream).error("failed", exc_info=error)
    assert secret not in stream.getvalue()


def test_two_loggers_do_not_share_a_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    one, two = make_log("json", "info", first), make_log("json", "error", second)
    one.info("a")
    two.info("b")
    two.error("c")
    assert [json.loads(line)["event"] for line in first.getvalue().splitlines()] == ["a"]
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["c"]


class Stuck(io.StringIO):
    """A stream that blocks until released, as an unread pipe does."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.go.wait(60)
        return super().write(text)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_deferred_line_is_written_in_its_place(log_format: str) -> None:
    """A server answers in gRPC's one thread, which a slow terminal or pipe must not block."""
    stream = Stuck()
    log = make_log(log_format, "info", stream, is_deferred=True)
    for number in range(100):
        log.info("request", number=number)
    assert stream.entered.wait(60)
    stream.go.set()
    log.flush()
    numbers = [re.split(r"\bnumber\W+", line)[1].partition(",")[0] for line in stream.getvalue().splitlines()]
    assert numbers == [*map(str, range(100))]


def test_lines_beyond_the_limit_are_left_out_and_counted(limit: Limit) -> None:
    # ten lines in place of ten thousand
    limit(logs, MAX_LINES=10)
    stream = Stuck()
    log = make_log("json", "info", stream, is_deferred=True)
    log.info("first")
    assert stream.entered.wait(60)
    for _ in range(25):
        log.info("request")
    stream.go.set()
    log.flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["first", *["request"] * 10, "log lines left out"]
    assert lines[-1]["left_out"] == 15


def test_a_stream_that_cannot_be_written_to_ends_no_log() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("no space left on device")

    log = make_log("json", "info", Full(), is_deferred=True)
    for _ in range(2):
        log.info("request")
        log.flush()


@pytest.mark.long
@given(
    st.dictionaries(
        st.from_regex(r"x[a-z_]{0,9}", fullmatch=True),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2),
    )
)
def test_a_line_is_the_json_of_its_fields_whatever_they_hold(fields: dict[str, object]) -> None:
    named = {"event": 'a "quoted" event\n', "level": "info"}
    line = render_json(None, "info", fields | named | {"timestamp": 1_790_000_000_123_456_789})
    timestamp = {"timestamp": "2026-09-21T14:13:20.123456Z"}
    assert line == JSONRenderer(ensure_ascii=False, default=repr)(None, "info", fields | named | timestamp)


def test_lines_beyond_those_of_a_second_are_left_out_and_counted() -> None:
    now = [10.0]
    lines = LineLimiter(3, lambda: now[0])
    assert [lines.take() for _ in range(5)] == [0, 0, 0, None, None]
    now[0] += 1
    assert [lines.take() for _ in range(2)] == [2, 0]


def test_refused_calls_are_all_counted_and_logged_sparingly(tmp_path: Path, limit: Limit) -> None:
    limit(turnstile, PROMPT_REFUSALS=1_000)
    issuer = TokenIssuer(tmp_path)
    write_grants(tmp_path / "grants.toml", issuer.table())
    with running_server(tmp_path, grants=tmp_path / "grants.toml", tls="mesh") as running:
        with grpc.insecure_channel(running.address) as channel:
            method = channel.unary_unary("/sellertrust.v1.LedgerService/GetViolation")
            for _ in range(300):
                with pytest.raises(grpc.RpcError):
                    method(b"", timeout=60)
        lines = running.lines()
        counted = running.value("requests_total", method="LedgerService/GetViolation", code="UNAUTHENTICATED")
    assert counted == 300
    assert len(lines) + sum(line.get("left_out", 0) for line in lines) <= 300
    assert len(lines) >= REFUSAL_LINES_A_SECOND
