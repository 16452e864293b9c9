from pathlib import Path
from textwrap import dedent

import pytest

from scoring.base.errors import ConfigurationWrong
from service.access.decision import GrantList, NeededRight
from service.access.grants import load_grants
from service.access.rights import Right
from tests.helpers.callers import TokenIssuer, grant, write_grants


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "grants.toml"
    write_grants(path, text)
    with pytest.raises(ConfigurationWrong) as caught:
        load_grants(path)
    lines = caught.value.message.splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "grants.toml"
    issuer = TokenIssuer(tmp_path)
    write_grants(
        path,
        issuer.table()
        + grant("dns:checkout.example", ["read_scores"])
        + grant(
            "jwt:https://login.example#*",
            ["append", "decide"],
            kinds=["violation"],
            sources=["brand"],
            notifiers=["brand-1"],
            entry_ids=["b1-"],
            actions=["withdraw"],
        ),
    )
    found = load_grants(path)
    assert found.issuers[0].keys == str(issuer.path)
    assert found.grants[0].rights == {Right.READ_SCORES}
    assert found.grants[0].sellers == {"*"}
    assert found.grants[1].kinds == {"violation", "status", "attribution", "incident", "correction", "case"}


def test_the_tables_that_the_page_shows_are_sound_together(tmp_path: Path) -> None:
    lines = (Path(__file__).parents[3] / "docs" / "how-to" / "access.md").read_text().splitlines()
    indented = [line[4:] for line in lines if line.startswith("    ")]
    shown = [line for line in indented if line.startswith("[") or " = " in line]
    write_grants(tmp_path / "grants.toml", "\n".join(line for line in shown if not line.startswith("[end]")))
    found = load_grants(tmp_path / "grants.toml")
    assert (len(found.persons), len(found.four_eyes), len(found.limits)) == (2, 1, 1)
    person = found.persons[0]
    assert any(grant.applies_to(person.principals[0]) and Right.APPROVE in grant.rights for grant in found.grants)


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    text = (
        'version = 2\n[[issuers]]\nissuer = "a#b"\naudience = 3\nkeys = "http://x.example/keys"\n'
        'algorithms = ["none", "HS256"]\nmarketplaces = []\n'
        + grant("customs", ["append", "rule"], marketplaces=["a b"], kinds=["override"], extra=["x"])
        + grant("jwt:https://other.example#u", ["models", "decide"])
    )
    told = problems(tmp_path, text)
    for beginning in (
        "version is not a part of a grants file",
        "issuers[0].issuer must be printable",
        "issuers[0].audience must be given as text",
        "issuers[0].keys must be fetched by https",
        "issuers[0].algorithms must be a list of one or more of ES256",
        "issuers[0].marketplaces must be a list",
        "grants[0].principals is wrong: 'customs' is no principal",
        "grants[0].rights must be a list of one or more of read_scores",
        "grants[0].marketplaces must be a list",
        "grants[0].kinds must be a list",
        "grants[0].entry_ids must be a list",
        "grants[0].extra is not a part",
        "grants[1].principals names 'jwt:https://other.example#u', which is of an issuer that no",
        'grants[1].marketplaces must be ["*"] with models',
        "grants[1].entry_ids must be a list",
        "grants[1].actions must be a list",
    ):
        assert any(line.startswith(beginning) for line in told), (beginning, told)
    assert len(told) == 16
    assert told[3].endswith(', not "none"')


def test_who_appends_violations_names_sources_and_notifiers(tmp_path: Path) -> None:
    told = problems(tmp_path, grant("dns:a.example", ["append"], kinds=["violation"], entry_ids=["*"]))
    assert [line.split(" ")[0] for line in told] == ["grants[0].sources", "grants[0].notifiers"]
    path = tmp_path / "grants.toml"
    write_grants(path, grant("dns:a.example", ["append"], kinds=["exposure"], entry_ids=["*"]))
    assert load_grants(path).grants[0].kinds == {"exposure"}


def test_an_own_grant_is_for_tokens_that_name_their_seller(tmp_path: Path) -> None:
    rights = 'rights = ["read_own"]\nmarketplaces = ["acme"]\nsellers = ["@"]\n'
    for principal in ("jwt:https://login.acme.example#*/a", "jwt:https://login.acme.example#a", "dns:a.example"):
        text = f'[[grants]]\nprincipals = ["{principal}"]\n{rights}'
        assert any("sellers may be" in problem for problem in problems(tmp_path, text)), principal


def test_who_appends_about_some_sellers_has_ids_of_its_own(tmp_path: Path) -> None:
    """Otherwise a refusal would show that an entry of another seller has the id."""
    limits = {"kinds": ["exposure"], "sellers": ["s-1"]}
    [line] = problems(tmp_path, grant("dns:a.example", ["append"], entry_ids=["*"], **limits))
    assert line.startswith("grants[0].entry_ids must name how ids begin beside sellers")
    write_grants(tmp_path / "grants.toml", grant("dns:a.example", ["append"], entry_ids=["a-"], **limits))
    assert load_grants(tmp_path / "grants.toml").grants[0].entry_ids == ("a-",)


def test_no_right_gives_entries_that_methods_of_their_own_make(tmp_path: Path) -> None:
    every = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids", "actions", "marketplaces")}
    write_grants(tmp_path / "grants.toml", grant("dns:a.example", [right.value for right in Right], **every))
    [found] = load_grants(tmp_path / "grants.toml").grants
    assert found.rights == {*Right}
    assert found.kinds.isdisjoint({"erasure", "clock"})
    assert {"violation", "override", "status"} < found.kinds


@pytest.mark.parametrize("text", ["[[grants]\n", "grants = 3\n[end]\n", "issuers = [1]\n[end]\n", "\xff"])
def test_what_is_no_file_of_grants_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "grants.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationWrong, match=r"is no TOML file|must be a list of tables"):
        load_grants(tmp_path / "grants.toml")
    with pytest.raises(ConfigurationWrong, match="cannot be read"):
        load_grants(tmp_path / "absent.toml")


WHOLE = (
    'issuers = [{issuer = "https://login.example", audience = "a", keys = "https://login.example/k",'
    ' algorithms = ["ES256"], marketplaces = ["acme"]}]\n'
    + grant("dns:a.example", ["read_ledger", "read_scores"], sellers=["s-1", "s-2"])
    + '[[limits]]\nprincipals = ["dns:a.example"]\ncalls_per_second = 25.5\nstreams = 20\n\n[end]\n'
)


def test_a_partly_written_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grants.toml"
    path.write_text(WHOLE)
    load_grants(path)
    for length in range(len(WHOLE.rstrip())):
        path.write_text(WHOLE[:length])
        with pytest.raises(ConfigurationWrong):
            load_grants(path)
    path.write_text(WHOLE.rstrip() + "   # the last line\n")
    load_grants(path)
    within_a_text = '[[persons]]\nprincipals = ["dns:a.example"]\nperson = """a\n[end] # """\n'
    for more in (grant("dns:b.example", ["read_scores"]), "# [end]\n", within_a_text):
        path.write_text((WHOLE if more is not within_a_text else WHOLE.replace("[end]\n", "")) + more)
        with pytest.raises(ConfigurationWrong, match=r"its last line must be \[end\]"):
            load_grants(path)


def test_the_first_example_of_the_page_is_accepted_as_it_stands(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "access.md").read_text()
    example = page[page.index("    [[issuers]]") :].partition("\n`SELLERTRUST_GRANTS=FILE")[0]
    (tmp_path / "grants.toml").write_text(dedent(example))
    assert len(load_grants(tmp_path / "grants.toml").grants) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("calls_per_second = 0", "calls_per_second must be left out, or a number, 0.000001 to 1,000,000,000"),
        ("calls_per_second = nan", "calls_per_second must be left out, or a number, 0.000001 to 1,000,000,000"),
        ("calls_per_second = 1e-9", "calls_per_second must be left out, or a number, 0.000001 to 1,000,000,000"),
        ("entries_per_second = true", "entries_per_second must be left out, or a number, 0.000001 to"),
        ("streams = 1.5", "streams must be a whole number"),
        ("streams = 0", "streams must be a whole number"),
        ('streams = 1\nclasses = ["read"]', "streams needs the class stream"),
        ('entries_per_second = 1\nclasses = ["read"]', "entries_per_second needs the class write or stream"),
        ("", "calls_per_second or entries_per_second or streams is required"),
    ],
)
def test_a_limit_that_limits_nothing_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    [line] = problems(tmp_path, f'[[limits]]\nprincipals = ["dns:a.example"]\n{text}\n')
    assert line.startswith(f"limits[0].{problem}")


def test_two_limits_of_the_same_kind_are_refused(tmp_path: Path) -> None:
    one = '[[limits]]\nprincipals = ["dns:a.example"]\nstreams = 1\n'
    [line] = problems(tmp_path, one + one)
    assert line.startswith("limits[1].principals and classes are those of a limit above")


PERSON = '[[persons]]\nperson = "{}"\nprincipals = ["dns:{}.example"]\n'
TWO = PERSON.format("anna", "anna") + PERSON.format("bert", "bert")


def test_persons_and_what_needs_two_of_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "grants.toml"
    rule = '[[four_eyes]]\nrights = ["override"]\nmarketplaces = ["acme"]\n'
    write_grants(path, TWO, rule, rule.replace("override", "bulk_decide") + "hours = 1.5\n")
    found = load_grants(path)
    assert [(one.person, one.principals) for one in found.persons] == [
        ("anna", ("dns:anna.example",)), ("bert", ("dns:bert.example",)),
    ]  # fmt: skip
    agreement = found.agreement(GrantList())
    override, decide = NeededRight(Right.OVERRIDE, "acme"), NeededRight(Right.BULK_DECIDE, "acme")
    assert (agreement.proposal_hours([override]), agreement.proposal_hours([override, decide])) == (24, 1.5)
    assert agreement.find_right_needing_two([decide, override]) is Right.BULK_DECIDE
    assert (
        agreement.find_right_needing_two([NeededRight(Right.OVERRIDE, "other"), NeededRight(Right.DECIDE, "acme")])
        is None
    )
    shown = (
        "dns:anna.example",
        "dns:x.example dns:bert.example",
        "dns:anna.example dns:bert.example",
        "dns:x.example",
        "",
    )
    assert [agreement.find_person(caller) for caller in shown] == ["anna", "bert", "", "", ""]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TWO + PERSON.format("anna", "a2"), "persons[2].person is that of a person above; list all names of one person"),
        (TWO + PERSON.format("carl", "anna"),
         "persons[2].principals names 'dns:anna.example', which shows a person above already"),
        (PERSON.format("a b", "anna"), "persons[0].person must be 1 to 128 characters"),
        (PERSON.format("anna", "*"), "persons[0].principals must be whole names of a person, without *, not 'dns:*.example'"),
        ('[[persons]]\nperson = "a"\nprincipals = ["jwt:https://x.example#a"]\n', "persons[0].principals names 'jwt:"),
        (PERSON.format("anna", "anna") + "[[four_eyes]]\nrights = ['override']\nmarketplaces = ['*']\n",
         "four_eyes[0].rights need 2 persons to agree, and the file has 1"),
        (TWO + "[[four_eyes]]\nrights = ['models']\nmarketplaces = ['acme']\n",
         'four_eyes[0].marketplaces must be ["*"] with models'),
        (TWO + "[[four_eyes]]\nrights = ['append']\nmarketplaces = ['*']\n",
         "four_eyes[0].rights must be a list of one or more of "),
        (TWO + "[[four_eyes]]\nrights = ['models']\nmarketplaces = ['*']\nhours = 200\nwho = 'x'\n",
         "four_eyes[0].hours must be left out, or a number, 0.000001 to 168, not"),
        (TWO + "[[four_eyes]]\nrights = ['models']\nmarketplaces = ['*']\nhours = 'x'\n",
         "four_eyes[0].hours must be left out, or a number, 0.000001 to 168, not"),
    ],
)  # fmt: skip
def test_rules_of_persons_that_cannot_hold_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in problems(tmp_path, text))
