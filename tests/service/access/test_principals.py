import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.principals import Pattern, certificate_name, token_name


@pytest.mark.parametrize(
    ("uris", "dns", "name"),
    [
        ([], ["checkout.acme.example"], "dns:checkout.acme.example"),
        ([], ["Checkout.ACME.example"], "dns:checkout.acme.example"),
        (["spiffe://acme.example/ns/a/sa/b"], ["a.example", "b.example"], "spiffe://acme.example/ns/a/sa/b"),
        (["https://acme.example/checkout"], [], "uri:https://acme.example/checkout"),
    ],
)
def test_a_certificate_names_its_uri_or_its_dns_name(uris: list[str], dns: list[str], name: str) -> None:
    assert certificate_name(uris, dns) == name


@pytest.mark.parametrize(
    ("uris", "dns"),
    [
        ([], []),
        ([], ["a.example", "b.example"]),
        ([], ["*.acme.example"]),
        ([], ["a..example"]),
        (["spiffe://acme.example/a", "spiffe://acme.example/b"], []),
        (["spiffe://acme.example/a/../b"], ["a.example"]),
        (["spiffe://acme.example/a%2fb"], []),
        (["SPIFFE://acme.example/a"], []),
        (["spiffe://ACME.example/a"], []),
        (["spiffe://acme.example//a"], []),
        (["https://acme.example/*"], []),
        (["https://acme.example/a b"], []),
        (["spiffe://acme.example/" + "a" * 2_048], []),
    ],
)
def test_a_certificate_of_several_names_names_nobody(uris: list[str], dns: list[str]) -> None:
    with pytest.raises(ValueError, match="its certificate has"):
        certificate_name(uris, dns)


@pytest.mark.parametrize("subject", ["", "a b", "*", "a\n", "ä", "a" * 256, 17, None])
def test_a_subject_that_could_be_read_as_something_else_is_none(subject: object) -> None:
    with pytest.raises(ValueError, match="subject"):
        token_name("https://login.example", subject)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (
            "spiffe://acme.example/ns/*/sa/checkout",
            ["spiffe://acme.example/ns/shop/sa/checkout"],
            [
                "spiffe://acme.example/ns/a/b/sa/checkout",
                "spiffe://acme.example/ns//sa/checkout",
                "spiffe://acme.example/ns/shop/sa/checkout2",
                "spiffe://acme.example/ns/shop/sa/checkout/x",
                "spiffe://other.example/ns/shop/sa/checkout",
                "uri:spiffe://acme.example/ns/shop/sa/checkout",
            ],
        ),
        (
            "dns:*.acme.example",
            ["dns:checkout.acme.example"],
            ["dns:a.b.acme.example", "dns:acme.example", "dns:.acme.example", "dns:checkout.acme.example.evil"],
        ),
        (
            "dns:acme.example",
            ["dns:acme.example"],
            ["dns:acmeXexample", "dns:acme.example\n", "jwt:x#dns:acme.example"],
        ),
        (
            "jwt:https://login.example#system:serviceaccount:*:checkout",
            ["jwt:https://login.example#system:serviceaccount:shop:checkout"],
            [
                "jwt:https://login.example#system:serviceaccount:shop:other:checkout",
                "jwt:https://login.example.evil#system:serviceaccount:shop:checkout",
            ],
        ),
        ("jwt:https://login.example#*", ["jwt:https://login.example#u-1"], ["jwt:https://login.example#a/b"]),
    ],
)
def test_a_star_stands_for_one_whole_segment(pattern: str, matching: list[str], others: list[str]) -> None:
    found = Pattern(pattern)
    assert all(found.matches(name) for name in matching)
    assert not any(found.matches(name) for name in others)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "local",
        "customs.example",
        "dns:",
        "dns:acme.*",
        "dns:cust*.example",
        "spiffe://*/sa/x",
        "spiffe://acme.example/sa/check*",
        "uri:https://*/x",
        "jwt:https://login.example",
        "jwt:https://*#u",
        "jwt:#u",
        "cn:customs",
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\*|no principal"):
        Pattern(text)


@given(st.from_regex(r"spiffe://acme\.example(/[a-z0-9._-]{1,8}){1,4}", fullmatch=True))
def test_a_name_without_a_star_matches_itself_alone(name: str) -> None:
    try:
        pattern = Pattern(name)
    except ValueError:
        return
    assert pattern.matches(name)
    assert not pattern.matches(name + "x")
    assert not pattern.matches(name[:-1])
