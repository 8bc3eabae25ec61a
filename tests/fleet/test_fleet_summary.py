"""Summaries: kilobytes that say the same as their sources, whatever the order in which they are put together."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from contacting import contact
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import log
from packets import icmp_error, pcap, tcp
from scenario import scene
from scenes import SCENES

import auditor
from auditor.fleet import evaluate as judging
from auditor.fleet.summaries import parquet_store as shards
from auditor.fleet.summaries.question import AuditSettings, methods_of
from auditor.fleet.summaries.reduction import COLUMNS
from auditor.fleet.summaries.summary import Summary, summarize
from auditor.report import model as r
from auditor.ruleset.ruleset import load_ruleset
from auditor.ruleset.site import Site
from auditor.sources.flows.table import FlowTable
from auditor.verdicts.installations.contacts import Contact

pytestmark = pytest.mark.slow

RULES = load_ruleset()
SERVER = "10.0.0.5"


def row(action: str, port: int, client: str, *, second: int = 0, source_port: int = 50000) -> str:
    times = f"2024-06-05 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{times} {action} TCP {SERVER} {client} {source_port} {port} 52 S 7 0 8192 - - - RECEIVE"


def written(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.write_bytes(log(*rows))
    return path


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> list[Summary]:
    folder = tmp_path_factory.mktemp("logs")
    paths = [
        written(folder, f"{number}.log", row("DROP" if number % 2 else "ALLOW", 445, f"10.0.1.{number}"))
        for number in range(6)
    ]
    found = [summarize(path) for path in (*paths, folder / "missing.log")]
    (named,) = summarize(paths[0], roles={"management-point": SERVER}).entries
    (first,) = found[0].entries
    later = replace(first, modified_ns=first.modified_ns + 1)
    fewer = replace(first, source=replace(first.source, details=replace(first.source.details, flows=())))
    return [*found, *(Summary((one,)) for one in (later, fewer, named))]


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_split_in_any_order_put_together_is_the_whole(summaries, data):
    whole = Summary().merge(*summaries)
    order = data.draw(st.permutations(range(len(summaries))))
    cut = data.draw(st.integers(0, len(order)))
    left, right = (Summary().merge(*(summaries[number] for number in part)) for part in (order[:cut], order[cut:]))

    assert left.merge(right) == right.merge(left) == whole
    assert whole.merge(left) == whole, "what is given twice counts once"
    assert whole.merge(Summary()) == Summary().merge(whole) == whole


def test_of_one_content_that_was_read_twice_the_later_file_counts(summaries):
    whole = Summary().merge(*summaries)
    assert len(whole.entries) == 6
    assert whole.entries[0].modified_ns == summaries[0].entries[0].modified_ns + 1


def test_a_summary_of_a_flow_of_which_only_an_error_was_captured_can_be_read(write, tmp_path):
    error = icmp_error("10.0.0.1", 3, 13, quoting=tcp("10.0.0.5:50000 > 10.0.0.20:445"))
    summary = summarize(write(pcap([error])))
    shards.write(tmp_path / "one.parquet", summary, "")

    (entry,) = shards.read(tmp_path / "one.parquet").entries
    assert (entry,) == summary.entries
    ((flow,), (quote,)) = entry.source.details.flows, entry.source.details.errors[0]
    assert (flow.response, flow.events, quote.proves) == ("prohibited", (), True)


def test_a_summary_is_the_same_when_it_was_written_and_read(summaries, tmp_path):
    whole = Summary().merge(*summaries)
    shards.write(tmp_path / "one.parquet", whole, "what was asked")

    assert shards.read(tmp_path / "one.parquet") == whole
    assert shards.outline(tmp_path / "one.parquet").question == "what was asked"


def test_a_file_that_cannot_be_read_is_told_of(summaries):
    (lost,) = Summary().merge(*summaries).unread

    assert (lost.what, lost.hint) == ("no such file", "Check the path.")


def test_what_places_a_block_in_a_capture_is_in_its_summary(tmp_path):
    (capture,) = (source for scene in SCENES if scene.name == "service-port-dropped" for source in scene.captures)
    whole = summarize(capture)
    shards.write(tmp_path / "one.parquet", whole, "what was asked")

    assert shards.read(tmp_path / "one.parquet") == whole
    (entry,) = whole.entries
    assert {event.hop_count for flow in entry.source.details.flows for event in flow.events} == {63, 64}


@pytest.mark.parametrize("source", [one for scene in SCENES for one in scene.captures], ids=lambda one: Path(one).stem)
def test_a_summary_of_a_capture_is_judged_like_the_capture(source):
    whole = auditor.audit(source, dissect=False)
    played = {one.role for one in whole.roles if one.role != "client"}
    roles = {role: tuple(one.address for one in whole.roles if one.role == role) for role in played}
    asking = AuditSettings(RULES, Site(roles=roles), methods_of(RULES, ()))
    entries = summarize(source).entries
    asked = [entry.source.details.asked for entry in entries]
    casts = judging.casts({"": _contacts(entries)}, asking.question, {"": asked})
    bench = judging.EvaluationContext(asking.question, asking.site, asking.rules, asking.methods, casts)

    told = {}
    for entry in entries:
        for push in casts[""].judged:
            host = judging.judge("host", "", [entry.about([push.to_address])], bench)
            told[host.addresses[0]] = {one.requirement: _outcome(one) for one in host.seen}
    assert told == {
        client.address: {one.id: _outcome(one) for one in _once(client) if one.verdict not in _UNTRIED}
        for client in whole.clients
    }


_UNTRIED = (r.NOT_OBSERVED, r.NOT_APPLICABLE)


def _outcome(one):
    return one.verdict, one.confidence, one.blocked_at, one.attempts, one.first_time, one.last_time, one.explanation


def _once(client):
    """Return the requirements of a client, those that methods share once."""
    every = [one for method in client.methods for one in method.requirements]
    return list({(one.row, one.source, one.destination, one.verdict): one for one in reversed(every)}.values())


def _contacts(entries):
    """Return who contacted the hosts that the entries are of."""
    own = {address for entry in entries for address in entry.addresses}
    return [one for entry in entries for one in entry.source.details.contacts if one.dst in own]


def pushes(src: str, *clients: int, ports: tuple[int, ...] = (445, 135)) -> list[Contact]:
    """Return the contacts of one host with some clients, as their logs have them."""
    return [contact(src, f"10.0.1.{n}", ports, "apart sent retried accepted") for n in clients]


def inferred(*contacts: Contact) -> list[str]:
    """Return who is taken for a site server."""
    asking = AuditSettings(RULES, Site(), methods_of(RULES, ()))
    return [one.address for one in judging.casts({"": contacts}, asking.question)[""].assignments]


def test_site_servers_are_those_that_contact_computers_as_a_push_does():
    berlin, boston = pushes("10.1.0.5", 1, 2, 3), pushes("10.2.0.5", 7, 8)
    assert inferred(*berlin, *boston) == ["10.1.0.5", "10.2.0.5"]
    assert inferred(*berlin, *pushes("10.0.1.1", 9, ports=(445,))) == ["10.1.0.5"], "may be file sharing"
    assert inferred() == []


def test_a_host_that_contacts_many_computers_at_one_port_is_a_site_server():
    """A push that is blocked at its first port comes to no other."""
    many, once = pushes("10.1.0.5", *range(1, 9), ports=(445,)), pushes("10.9.9.9", 1, ports=(445,))
    assert inferred(*many, *once) == ["10.1.0.5"]


def test_who_is_named_and_serves_another_site_is_not_said_to_be_nowhere():
    """Each site has servers of its own; only who is seen nowhere may be a mistyped address."""
    asking = AuditSettings(
        RULES, Site(roles={"site-server": ("10.1.0.5", "10.2.0.5", "10.2.0.55")}), methods_of(RULES, ())
    )
    contacts = {"BERLIN": pushes("10.1.0.5", 1), "BOSTON": pushes("10.2.0.5", 2)}
    found = judging.casts(contacts, asking.question)
    absent = {site: [note for note in cast.notes if "is not in the sources" in note] for site, cast in found.items()}
    only = "10.2.0.55 (site server, set with --role) is not in the sources. Check the address."
    assert absent == {"BERLIN": [only], "BOSTON": [only]}


def test_what_a_log_lets_through_is_allowed_from_an_inferred_site_server_too(tmp_path):
    through = [row("ALLOW", port, "10.0.1.1") for port in (445, 135)] + [
        row("ALLOW", 49670, "10.0.1.1", second=1),
        f"2024-06-05 10:00:00 ALLOW ICMP {SERVER} 10.0.1.1 - - 60 - - - - 8 0 - RECEIVE",
        "2024-06-05 10:00:00 ALLOW TCP 10.0.1.1 10.0.0.7 50000 80 0 - 0 0 0 - - - SEND",
    ]
    written(tmp_path, "PC1.log", *through)

    def result(**roles: str) -> str:
        out = tmp_path / f"out{len(roles)}"
        audited = auditor.batch(tmp_path / "PC1.log", out=out, roles=roles, mode="mixed", workers=0)
        return audited.report.hosts[0].outcome("client-push").result

    point = {"management-point": "10.0.0.7"}
    assert result(**point) == "allowed"
    assert result(**point, **{"site-server": SERVER}) == "allowed"


@pytest.mark.parametrize("named", ["10.0.0.64/26", "10.0.0.70", "fd00::/64"])
def test_a_role_may_be_named_as_a_network(named, tmp_path):
    """Only the attempts at addresses of that network are of the role."""
    address = {"10.0.0.64/26": "10.0.0.70", "10.0.0.70": "10.0.0.70", "fd00::/64": "fd00::7"}[named]
    client = "fd00:1::1" if ":" in named else "10.0.1.1"
    web = f"2024-06-05 10:00:00 DROP TCP {client} {address} 50000 80 0 - 0 0 0 - - - SEND"
    other = web.replace(address, "fd00:2::9" if ":" in named else "10.0.0.9").replace("50000", "50001")
    written(tmp_path, "PC1.log", web, other)
    roles = {"management-point": named, "client": client}
    audited = auditor.batch(tmp_path / "PC1.log", out=tmp_path / "out", roles=roles, mode="mixed", workers=0)
    (host,) = audited.report.hosts
    (web_row,) = [one for one in host.seen if one.requirement == "client-push/http-management-point"]
    assert (web_row.verdict, web_row.destination.address, web_row.attempts) == ("blocked", address, 1)


def test_a_server_of_any_role_may_be_named_by_its_network(tmp_path):
    row = "2024-06-05 10:00:00 {} TCP 10.0.1.1 {} 50000 445 0 - 0 0 0 - - - SEND"
    written(tmp_path, "PC1.log", row.format("DROP", "10.0.0.84"), row.format("ALLOW", "10.0.0.9"))
    roles = {"distribution-point": "10.0.0.80/28", "client": "10.0.1.1"}
    asked = {"roles": roles, "methods": ["software-distribution"], "workers": 0}
    (host,) = auditor.batch(tmp_path / "PC1.log", out=tmp_path / "out", **asked).report.hosts
    (smb,) = [one for one in host.seen if one.requirement == "software-distribution/smb-distribution-point"]
    assert (smb.verdict, smb.destination.address, smb.attempts) == ("blocked", "10.0.0.84", 1)


def test_of_a_host_that_got_another_address_the_latest_counts(tmp_path):
    morning = row("DROP", 445, "10.0.1.1")
    ping = f"2024-06-05 12:00:00 ALLOW ICMP {SERVER} 10.0.1.9 - - 60 - - - - 8 0 - RECEIVE"
    noon = [row("ALLOW", port, "10.0.1.9", second=7200) for port in (445, 135)]
    noon += [
        row("ALLOW", 49670, "10.0.1.9", second=7201),
        ping,
        ping.replace("10.0.1.9", "10.0.1.1").replace("12", "00"),
    ]
    web = "2024-06-05 02:00:02 ALLOW TCP 10.0.1.9 10.0.0.7 50000 80 0 - 0 0 0 - - - SEND"
    written(tmp_path, "PC1.log", morning, *noon, web)

    roles = {"site-server": SERVER, "management-point": "10.0.0.7"}
    audited = auditor.batch(tmp_path / "PC1.log", out=tmp_path / "out", roles=roles, mode="mixed", workers=0)
    (host,) = audited.report.hosts
    assert (host.addresses[0], host.outcome("client-push").result) == ("10.0.1.9", "allowed")


def any_log() -> st.SearchStrategy[list[str]]:
    """Rows of one computer's log: pushes, pings and web connections, let through or dropped."""
    ports = st.sampled_from((445, 135, 135, 49670, 49671, 49700, 50100, 50101))
    one = st.tuples(st.sampled_from(("ALLOW", "DROP")), ports, st.sampled_from((1, 3, 20, 200, 900)))

    def rows(drawn: list[tuple[str, int, int]]) -> list[str]:
        seconds = list(accumulate(wait for _, _, wait in drawn))
        return [
            row(action, port, "10.0.1.1", second=at % 86_000, source_port=50000 + number)
            for number, ((action, port, _), at) in enumerate(zip(drawn, seconds, strict=True))
        ]

    return st.lists(one, min_size=1, max_size=60).map(rows)


@given(any_log())
@settings(max_examples=60, deadline=None)
def test_a_summary_of_any_log_is_judged_like_the_log(tmp_path_factory, rows):
    path = written(tmp_path_factory.mktemp("any"), "PC1.log", *rows)
    roles = {"site-server": (SERVER,), "client": ("10.0.1.1",)}
    asking = AuditSettings(RULES, Site(roles=roles), methods_of(RULES, ()))
    bench = judging.EvaluationContext(
        asking.question, asking.site, asking.rules, asking.methods, judging.casts({"": ()}, asking.question)
    )
    entries = summarize(path, roles=roles).entries

    whole = auditor.audit(path, roles=roles).client().method("client-push")
    told = judging.report("", entries, bench, ("auditor", "")).client("10.0.1.1").method("client-push")
    assert [_outcome(one) for one in told.requirements] == [_outcome(one) for one in whole.requirements]
    assert told.result == whole.result


def judged_both_ways(source: Path) -> list[list[object]]:
    """Return what the audit of a source, and of its summary, says of the push."""
    roles = {"site-server": (SERVER,), "client": ("10.0.1.1",)}
    asking = AuditSettings(RULES, Site(roles=roles), methods_of(RULES, ()))
    bench = judging.EvaluationContext(
        asking.question, asking.site, asking.rules, asking.methods, judging.casts({"": ()}, asking.question)
    )
    whole = auditor.audit(source, roles=roles, dissect=False).client().method("client-push")
    entries = summarize(source, roles=roles).entries
    told = judging.report("", entries, bench, ("auditor", "")).client("10.0.1.1").method("client-push")
    return [[one.result, *map(_outcome, one.requirements)] for one in (whole, told)]


def any_capture() -> st.SearchStrategy[list[str]]:
    """Lines of pushes, port scans and whatever else reaches the endpoint mapper of one computer."""
    ports = st.sampled_from(("445", "135", "135", "49700", "49701", "1025", "50000-50020", "51000-51008"))
    how = st.sampled_from(("SF", "REJ", "S0 once", "handshake", "half-open", "mid-stream", "one-sided"))
    return st.lists(st.tuples(st.integers(0, 300), ports, how), min_size=1, max_size=12).map(
        lambda drawn: [
            f"{second} {SERVER}:{40000 + 100 * number} > 10.0.1.1:{port}/tcp {outcome}"
            for number, (second, port, outcome) in enumerate(drawn)
        ]
    )


@given(any_capture())
@settings(max_examples=60)
def test_a_summary_of_any_capture_is_judged_like_the_capture(write, lines):
    whole, told = judged_both_ways(write(pcap(scene(lines))))
    assert told == whole


def test_a_scan_in_the_middle_of_very_many_attempts_is_still_one(write):
    """Of such a middle little is kept."""
    opening = [f"0 {SERVER}:40000 > 10.0.1.1:135/tcp SF"]
    pings = [f"{1 + n / 100} {SERVER}:{20001 + n} > 10.0.1.1:445/tcp REJ" for n in range(70)]
    scan = [f"{20 + n / 10} {SERVER}:{30000 + 100 * n} > 10.0.1.1:50000-50039/tcp REJ" for n in range(3)]
    after = [f"{50 + n / 100} {SERVER}:{21001 + n} > 10.0.1.1:445/tcp REJ" for n in range(200)]
    whole, told = judged_both_ways(write(pcap(scene([*opening, *pings, *scan, *after]))))
    assert [one[0] for one in told[1:] if "port scan" in one[-1]] == ["not-observed"]
    assert [one[0] for one in whole[1:] if "port scan" in one[-1]] == ["not-observed"]


def test_of_many_attempts_that_are_alike_few_are_kept_and_all_are_counted(tmp_path):
    rows = [row("DROP", 445, "10.0.1.1", second=40 * number, source_port=50000 + number) for number in range(80)]
    path = written(tmp_path, "many.log", *rows)
    (entry,) = summarize(path, roles={"site-server": SERVER}).entries

    flows = entry.source.details.flows
    assert len(flows) == 8
    assert sum(one.stands_for for one in flows) == 80
    assert [flows[0].events[0].frame, flows[-1].events[-1].frame] == [6, 85], "the first and the last line"


@pytest.mark.parametrize("hosts", [{SERVER, "10.0.1.1"}, {SERVER}, {SERVER, "10.0.1.1", "10.0.1.2"}], ids=len)
def test_the_kept_flows_between_some_hosts_are_those_of_their_table(tmp_path, hosts):
    rows = [row("DROP", port, client, source_port=port) for client in ("10.0.1.1", "10.0.1.2") for port in (135, 445)]
    (entry,) = summarize(written(tmp_path, "PC1.log", *rows), roles={"site-server": SERVER}).entries[:1]

    table = entry.source.table
    plain = FlowTable(dict(table.columns)).between(hosts)
    kept = [(number, {name: values[name] for name in COLUMNS}) for number, values in table.between(hosts)]
    assert kept == list(plain)
    assert len(kept) == 2 * (len(hosts) - 1)


def test_a_fleet_recommends_the_methods_that_the_report_on_the_host_does(tmp_path):
    asking = AuditSettings(RULES, Site(roles={"site-server": (SERVER,)}), methods_of(RULES, ()))
    bench = judging.EvaluationContext(
        asking.question, asking.site, asking.rules, asking.methods, judging.casts({"": ()}, asking.question)
    )
    entries = summarize(written(tmp_path, "PC1.log", row("DROP", 445, "10.0.1.1")), roles=asking.site.roles).entries

    told = judging.report("", entries, bench, ("auditor", "")).client()
    found = judging.judge("PC1", "", entries, bench)
    assert found.recommended == tuple(one.method for one in told.recommendation)
    assert "client-push" not in found.recommended


def test_what_others_serve_on_the_internet_is_not_kept(tmp_path):
    web = "2024-06-05 10:00:00 ALLOW TCP 10.0.1.1 {} 50000 443 0 - 0 0 0 - - - SEND"
    path = written(tmp_path, "web.log", web.format("8.8.8.8"), web.format("10.0.9.9"), web.format("9.9.9.9"))

    def served(**roles: str) -> list[str]:
        (entry,) = summarize(path, roles=roles).entries
        return [one.dst_ip for one in entry.source.details.flows]

    assert served() == ["10.0.9.9"]
    assert served(**{"management-point": "9.9.9.9"}) == ["9.9.9.9"]
