"""Documents that can be wrong are generated or checked."""

import re
from pathlib import Path

from tests.docs_in_step import DOCS, stale

ROOT = DOCS.parent


def test_the_generated_pages_are_in_step_with_the_code() -> None:
    """The command line, features, lifecycle, reason codes and violation types."""
    assert stale() == [], "run: python -m tests.docs_in_step --write"


def test_every_link_between_documents_leads_somewhere() -> None:
    """Relative links of the documents at the top and in docs/."""
    for document in [*ROOT.glob("*.md"), *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_names_only_settings_that_exist() -> None:
    """A variable that the README invites to set is one that the service reads."""
    from service.settings import describe, load

    known = {row.variable for row in describe(load({}))}
    text = (ROOT / "README.md").read_text()
    stated = {name.rstrip("_") for name in re.findall(r"SELLERTRUST_[A-Z_]+", text)}
    assert stated <= known


def test_the_version_is_stated_once() -> None:
    """The package's version is the core's."""
    import tomllib

    from scoring.version import CORE_VERSION

    for file in (ROOT / "pyproject.toml", ROOT / "proto" / "pyproject.toml"):
        assert tomllib.loads(Path(file).read_text())["project"]["version"] == CORE_VERSION
