"""Real event logs: their counts are those of the library itself, their flows those of the captures of the same runs."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import realcaptures
from realcaptures import FOLDER, rows

import auditor
from auditor.errors import SourceError
from auditor.sources.flows.from_logs.event_flows import ACTIONS, DIRECTIONS
from auditor.sources.logs.event_log import EventReader
from auditor.sources.logs.evtx import EVTX_MAGIC

LOGS = sorted(realcaptures.FOLDER.glob("evtx/*"))
EVTX = [path for path in LOGS if path.read_bytes()[: len(EVTX_MAGIC)] == EVTX_MAGIC]
TRUTH = realcaptures.rows("oracle/WFP_TRUTH.tsv")
MAPPER = "135"
DAMAGED = "evtx__sample_with_a_bad_chunk_magic.evtx"
SPINNING, SPINNING_AT = "EVTX-ATTACK-SAMPLES__LM_Remote_Service02_7045.evtx", 5878
EVENT_ID = re.compile(r"<EventID[^>]*>(\d+)</EventID>")

pytestmark = pytest.mark.skipif(not LOGS, reason="AUDITOR_CORPUS is not set, so there are no real event logs")


def ids_by_library(path: Path) -> Counter[int]:
    """Count the events by id in the XML that the library writes, which auditor does not read."""
    evtx = pytest.importorskip("evtx")
    found: Counter[int] = Counter()
    records = evtx.PyEvtxParser(str(path)).records()
    while True:
        try:
            match = EVENT_ID.search(next(records)["data"])
        except StopIteration:
            return found
        except RuntimeError:
            continue
        found[int(match[1]) if match else -1] += 1


@pytest.mark.parametrize("path", EVTX, ids=lambda path: path.name)
def test_events_are_counted_as_the_library_counts_them(path: Path):
    reader = EventReader(path, ACTIONS)
    assert Counter(event.event_id for event in reader) == ids_by_library(path)
    assert reader.records + reader.skipped == events_by_chunk_headers(path)


def events_by_chunk_headers(path: Path) -> int:
    """Add up what each chunk says it holds, and one for each chunk that says nothing but is not empty."""
    content, total = path.read_bytes(), 0
    for begin in range(4096, len(content), 65536):
        chunk = content[begin : begin + 65536]
        first, last = (int.from_bytes(chunk[at : at + 8], "little") for at in (8, 16))
        total += last - first + 1 if chunk.startswith(b"ElfChnk\0") else any(chunk)
    return total


def test_a_damaged_log_says_how_much_of_it_is_lost():
    reader = EventReader(realcaptures.FOLDER / "evtx" / DAMAGED, ACTIONS)
    assert sum(1 for _ in reader) == reader.records
    assert reader.skipped > 0
    assert [warning.code for warning in reader.warnings] == ["damaged"]


def test_a_byte_that_makes_the_parser_spin_costs_its_chunk(tmp_path: Path):
    content = bytearray((realcaptures.FOLDER / "evtx" / SPINNING).read_bytes())
    content[SPINNING_AT] = 140  # a name in the chunk's table of names now follows itself
    log = tmp_path / "security.evtx"
    log.write_bytes(content)
    reader = EventReader(log, ACTIONS)
    assert list(reader) == []
    assert reader.skipped == 3
    assert "chunk 1 stops the parser" in reader.warnings[0].text


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_the_events_about_connections_are_the_rows_of_the_table(path: Path):
    name = path.relative_to(realcaptures.FOLDER).as_posix()
    if path in EVTX and not ids_by_library(path) & Counter(dict.fromkeys(ACTIONS, 1)):
        with pytest.raises(SourceError, match=r"\. [A-Z]"):  # and what to do
            realcaptures.source(name)
        return
    source = realcaptures.source(name)
    counted = {int(name.split()[1]): count for name, count in source.tally.frames.items() if name.startswith("event ")}
    assert source.flows.rows.sum() == sum(count for event_id, count in counted.items() if event_id in ACTIONS)
    assert sum(source.tally.frames.values()) == source.records
    assert (source.flows.application != "").all()


@pytest.mark.parametrize("log", sorted({row["log"] for row in TRUTH}))
def test_the_flows_are_those_of_the_capture_of_the_same_run(log: str):
    table = realcaptures.source(f"evtx/{log}").flows
    for row in (row for row in TRUTH if row["log"] == log):
        wanted = {"src_ip": row["src"], "src_port": int(row["sport"]), "dst_ip": row["dst"]}
        wanted |= {"dst_port": int(row["dport"]), "direction": DIRECTIONS[row["direction"]]}
        wanted |= {"action": ACTIONS[int(row["event_id"])], "computer": row["host"].lower()}
        (found,) = (one for one in table.itertuples() if all(getattr(one, key) == wanted[key] for key in wanted))
        for stream in row["matching_tcp_streams"].split():
            assert abs(found.start - started(stream)).total_seconds() < 3


def started(stream: str):
    name, _, number = stream.partition("#stream")
    flows = realcaptures.source(name).flows
    return flows.start[(flows.stream == int(number.partition("=")[0])) & (flows.protocol == "tcp")].iloc[0]


def test_the_older_order_of_the_ends_is_turned():
    name = "evtx/EVTX-ATTACK-SAMPLES__dicovery_4661_net_group_domain_admins_target.evtx"
    flows = realcaptures.source(name).flows
    pushed = flows[(flows.dst_port == 445) & (flows.direction == "RECEIVE")]
    assert ("10.0.2.17", "10.0.2.15") in set(zip(pushed.src_ip, pushed.dst_ip, strict=True))


# the same push in a capture and in what Windows logged of it


def pushes() -> list[object]:
    """Return each push that the target's firewall blocked: log, capture, the two hosts, the requirement."""
    found: dict[tuple[str, ...], None] = {}
    for row in rows("oracle/WFP_TRUTH.tsv"):
        if (row["event_id"], row["direction"]) == ("5157", "inbound"):
            capture = row["matching_tcp_streams"].split("#")[0]
            name = "rpc-endpoint-mapper" if row["dport"] == MAPPER else "rpc-dynamic"
            found[f"evtx/{row['log']}", capture, row["src"], row["dst"], name] = None
    return [pytest.param(*one, id=Path(one[1]).stem) for one in found]


def judged(paths: list[str], src: str, dst: str, name: str) -> str:
    roles = {"site-server": src, "client": dst}
    report = auditor.audit(*(FOLDER / path for path in paths), roles=roles, dissect=False)
    one = next(one for one in report.clients[0].method("client-push").requirements if one.row == name)
    return f"{one.verdict} {one.confidence} {one.blocked_at}"


@pytest.mark.parametrize(("log", "capture", "src", "dst", "name"), pushes())
def test_the_events_of_a_capture_prove_what_it_can_only_show_to_be_likely(log, capture, src, dst, name):
    alone = judged([capture], src, dst, name)
    assert alone in ("blocked likely unknown", "no-response likely unknown")  # the target may be silent in all of it
    assert judged([capture, log], src, dst, name) == "blocked proven client"
    assert judged([log, capture], src, dst, name) == "blocked proven client"


def test_there_are_four_such_pushes():
    assert len(pushes()) == 4
