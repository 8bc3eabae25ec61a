"""What is recommended instead: in which order, what speaks for each method, and what it still needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from logs import firewall_log, row
from packets import pcap
from scenario import scene

import auditor
from auditor.report.model import ClientReport, MethodResult
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.verdicts.recommend import recommend

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}
PING = "0 10.0.0.5 > 10.0.0.20/icmp"
SMB = "1 10.0.0.5:50000 > 10.0.0.20:445/tcp"
MAPPER = "2 10.0.0.5:50001 > 10.0.0.20:135/tcp"
DATAGRAM = "2 10.0.0.5:50001 > 10.0.0.20:135/udp"
DYNAMIC = "3 10.0.0.5:50002 > 10.0.0.20:49700/tcp"
HTTP = "4 10.0.0.20:51000 > 10.0.0.80:80/tcp"
OTHER = "0 10.0.0.5:50009 > 10.0.0.20:3389/tcp SF"
FORBIDDEN = "prohibited by 10.0.0.1"
RULES = load_ruleset().at(SiteFacts())

Recommended = Callable[..., ClientReport]


@pytest.fixture
def recommended(write: Callable[[bytes], object]) -> Recommended:
    """Return how to audit lines of a scene, and rows of the client's firewall log."""

    def recommended(*lines: str, rows: tuple[str, ...] = (), **known: object) -> ClientReport:
        log = [firewall_log(*map(row, rows), clock="UTC")] if rows else []
        sources = [write(content) for content in (pcap(scene([*lines, OTHER])), *log)]
        return auditor.audit(*sources, dissect=False, **({"roles": ROLES} | known)).client()

    return recommended


def why(client: ClientReport, method: str = "client-push") -> str:
    return next(one.why for one in client.recommendation if one.method == method)


def needs(client: ClientReport, method: str = "client-push") -> list[str]:
    return next(list(one.still_needs) for one in client.recommendation if one.method == method)


def with_ports_of(client: ClientReport, row: str, ports: tuple[int, ...]) -> MethodResult:
    """Return client push of a client, one row of it with other ports."""
    method = client.method("client-push")
    rows = (replace(one, ports=ports) if one.row == row else one for one in method.requirements)
    return replace(method, requirements=tuple(rows))


def let_in(port: int, second: int) -> str:
    return f"22:13:{20 + second} ALLOW 10.0.0.5:{50000 + second} > 10.0.0.20:{port} - RECEIVE"


# the order


def test_what_needs_the_least_comes_first_where_nothing_was_tried(recommended):
    """That a client has to be there already, for software distribution, is a need like any other."""
    methods = [one.method for one in recommended().recommendation]
    assert methods == ["software-update-point", "group-policy", "manual", "software-distribution", "client-push"]


def test_what_fails_is_not_recommended(recommended):
    assert "client-push" not in [one.method for one in recommended(f"{SMB} {FORBIDDEN}").recommendation]


def test_what_was_seen_open_comes_before_what_was_not_tried(recommended):
    assert recommended(f"{SMB} SF").recommendation[0].method == "client-push"


def test_of_pushes_of_two_site_servers_that_of_which_less_is_proven_counts(recommended):
    other = "6 10.0.0.6:50000 > 10.0.0.20:445/tcp SF"
    roles = {"client": "10.0.0.20", "management-point": "10.0.0.80"}
    every = [f"{PING} answered", *(f"{line} SF" for line in (SMB, MAPPER, DYNAMIC, HTTP))]
    assert needs(recommended(*every, roles=roles)) == []
    assert "TCP 135 to 10.0.0.20" in needs(recommended(*every, other, roles=roles))


def test_of_two_pushes_of_which_as_much_is_proven_the_surest_counts(recommended):
    other = "6 10.0.0.6:50000 > 10.0.0.20:445/tcp SF"
    client = recommended(f"{SMB} SF", f"{MAPPER} SF", other, roles={"client": "10.0.0.20"})
    assert "TCP 135 to 10.0.0.20" not in needs(client)


# what speaks for a method


@pytest.mark.parametrize(
    ("lines", "rows", "supported_by"),
    [
        ([], (), "not-attempted"),
        ([f"{SMB} S0 once"], (), "not-attempted"),
        ([f"{SMB} SF"], (), "seen-open"),
        ([], (let_in(445, 1),), "seen-open"),
        ([f"{HTTP} {FORBIDDEN}"], (), "contradicted"),
        ([f"{HTTP} {FORBIDDEN}", f"{SMB} SF"], (), "seen-open"),
    ],
)
def test_a_method_is_supported_by_what_was_seen_of_its_ports(recommended, lines, rows, supported_by):
    support = {one.method: one.supported_by for one in recommended(*lines, rows=rows).recommendation}
    assert support["client-push"] == supported_by


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([f"{SMB} SF"], "open: TCP 445 to client"),
        ([f"{PING} answered"], "open: ICMP echo request to client"),
        ([f"{HTTP} SF"], "open: TCP 80 to management point"),
        ([f"{HTTP} {FORBIDDEN}"], "TCP 80 to management point is blocked, an alternative is left"),
        ([f"{MAPPER} SF", f"{DYNAMIC} SF"], "open: TCP 135 to client, TCP 49700 to client"),
    ],
)
def test_the_reason_names_ports_and_roles(recommended, lines, text):
    assert why(recommended(*lines)) == text


def test_what_firewalls_allowed_is_the_reason_where_nothing_is_missing(recommended):
    allowed = (let_in(445, 1), let_in(135, 2), let_in(49700, 3))
    client = recommended(f"{PING} answered", f"{HTTP} SF", rows=allowed)
    assert why(client) == "all required ports were open, or allowed by the client's own firewall"


def test_dynamic_ports_that_no_number_is_known_of_are_named_so(recommended):
    client = recommended(f"{MAPPER} SF", f"{DYNAMIC} SF")
    assert recommend([with_ports_of(client, "rpc-dynamic", ())], RULES)[0].why == (
        "open: TCP 135 to client, TCP dynamic ports to client"
    )


def test_every_recommendation_has_a_reason(recommended):
    assert all(one.why for one in recommended().recommendation)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([f"{SMB} SF"], ["445"]),
        ([f"{PING} answered", f"{DATAGRAM} answered"], ["echo"]),
        ([f"{MAPPER} SF", f"{DYNAMIC} SF"], ["135", "49700"]),
        ([f"{HTTP} SF", f"{SMB} SF"], ["445", "TCP 80"]),
        ([f"{HTTP} {FORBIDDEN}"], ["TCP 80"]),
        ([f"{HTTP} {FORBIDDEN}", f"{SMB} SF"], ["445", "TCP 80"]),
        ([f"{SMB} SF", f"{MAPPER} S0 once"], ["445"]),
    ],
)
def test_what_was_open_or_stopped_is_named_and_nothing_else(recommended, lines, named):
    text = why(recommended(*lines))
    assert [word for word in ("echo", "445", "135", "49700", "TCP 80", "443") if word in text] == named
    assert "UDP" not in text


def test_what_was_not_tried_is_told_from_what_shows_nothing(recommended):
    nothing = why(recommended())
    assert why(recommended(f"{DATAGRAM} silent")) == why(recommended(f"{DATAGRAM} answered")) == nothing
    shows_nothing = why(recommended(f"{SMB} S0 once"))
    assert shows_nothing != nothing
    assert "445" not in shows_nothing
    assert why(recommended(f"{SMB} SF")) not in (nothing, shows_nothing)
    assert why(recommended(f"{HTTP} {FORBIDDEN}")) not in (nothing, shows_nothing)


@pytest.mark.parametrize("turn", [False, True])
def test_what_was_open_is_named_before_what_a_firewall_let_through(recommended, turn):
    first, second = (445, 135) if turn else (135, 445)
    text = why(recommended(f"1 10.0.0.5:50003 > 10.0.0.20:{first}/tcp SF", rows=(let_in(second, 1),)))
    assert text.index(str(first)) < text.index(str(second))


def test_what_was_let_through_is_not_called_open(recommended):
    allowed = (let_in(445, 1), let_in(135, 2), let_in(49700, 3))
    mixed = recommended(f"{PING} answered", f"{HTTP} SF", rows=allowed)
    assert mixed.method("client-push").result == "allowed"
    assert mixed.method("group-policy").result == "works"
    assert why(mixed) != why(mixed, "group-policy")
    every = recommended(f"{PING} answered", f"{SMB} SF", f"{MAPPER} SF", f"{DYNAMIC} SF", f"{HTTP} SF")
    assert why(every) == why(every, "group-policy") == why(mixed, "group-policy")


# what it still needs


def test_of_more_than_two_ports_one_is_needed(recommended):
    method = with_ports_of(recommended(f"{SMB} SF"), "http-management-point", (80, 8080))
    assert recommend([method], RULES)[0].still_needs[-1] == "TCP 80, 8080, or 443 to 10.0.0.80"


def test_of_ports_of_two_protocols_each_is_named_with_its_own(recommended):
    method = with_ports_of(recommended(f"{SMB} SF"), "http-management-point", (8080,))
    push, *others = load_ruleset().methods
    rows = (replace(one, protocol="udp") if one.row == "http-management-point" else one for one in push.requirements)
    rules = replace(load_ruleset(), methods=(replace(push, requirements=tuple(rows)), *others)).at(SiteFacts())
    assert recommend([method], rules)[0].still_needs[-1] == "UDP 8080 or TCP 443 to 10.0.0.80"


def test_what_is_needed_names_ports_and_where_they_are(recommended):
    assert needs(recommended(f"{SMB} SF")) == [
        "a response to the echo request to 10.0.0.20",
        "TCP 135 to 10.0.0.20",
        "TCP dynamic to 10.0.0.20",
        "TCP 80 or 443 to 10.0.0.80",
    ]


def test_what_works_needs_nothing_more(recommended):
    client = recommended(f"{HTTP} SF", "5 10.0.0.20:51001 > 10.0.0.80:443/tcp REJ")
    assert (client.method("group-policy").result, needs(client, "group-policy")) == ("works", [])


def test_of_two_ways_only_the_one_that_is_not_stopped_is_needed(recommended):
    (web,) = needs(recommended(f"{HTTP} {FORBIDDEN}"), "group-policy")
    assert web == "TCP 443 to 10.0.0.80"


def test_what_does_not_apply_is_not_needed(recommended):
    (web,) = needs(recommended(mode="native"), "group-policy")
    assert web == "TCP 443 to 10.0.0.80"


def test_what_is_needed_only_under_a_condition_says_so(recommended):
    share, web = needs(recommended(), "manual")
    assert share.startswith("TCP 445 to the source server, if CCMSetup.exe runs from a network share")
    assert web == "TCP 80 or 443 to 10.0.0.80"


def test_what_must_be_so_for_a_method_to_be_any_use_comes_first(recommended):
    client = recommended("5 10.0.0.20:51001 > 10.0.0.84:445/tcp SF", roles=ROLES | {"distribution-point": "10.0.0.84"})
    so, web = needs(client, "software-distribution")
    assert so.startswith("only if you upgrade an installed client")
    assert web == "TCP 80 or 443 to 10.0.0.84"
