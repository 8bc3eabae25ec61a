"""Compare `auditor flows` with DuckDB and pandas on generated firewall logs, in one run, as ratios.

    python benchmarks/compare_logs.py [--rows 4000000 16000000] [--runs 3] [--folder DIR]

DuckDB does nothing but count the rows; pandas reads them and groups them by their ends. Each runs as a process of its
own, in turn, after one round that is not counted. Printed are the medians of wall time, of processor time and of peak
memory, and the ratio of wall time to DuckDB's. Linux; needs the packages duckdb and pandas.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from compare import Run, run

MAKE = Path(__file__).parent / "make_firewall_log.py"
COLUMNS = (
    "date time action protocol src_ip dst_ip src_port dst_port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode "
    "info path"
)
HEADER_LINES = 5
COUNT = """
import duckdb, sys
columns = dict.fromkeys(sys.argv[2].split(), "VARCHAR")
options = f"delim=' ', header=false, skip={sys.argv[3]}, auto_detect=false, quote='', escape='', columns={columns}"
print(duckdb.sql(f"select count(*) from read_csv('{sys.argv[1]}', {options})").fetchall())
"""
GROUP = """
import pandas, sys
names = sys.argv[2].split()
rows = pandas.read_csv(sys.argv[1], sep=" ", names=names, skiprows=int(sys.argv[3]))
print(len(rows.groupby(names[2:8]).size()))
"""
READ = "import sys; from auditor import read; print(len(read(sys.argv[1]).flows))"


def compare(path: Path, runs: int, without_pandas: bool) -> None:
    """Run all commands in turn and print a table."""
    given = [str(path), COLUMNS, str(HEADER_LINES)]
    todo = {
        "DuckDB, count(*) alone": [sys.executable, "-c", COUNT, *given],
        "auditor, rows to flows": [sys.executable, "-c", READ, str(path)],
        "pandas, read_csv and groupby": [sys.executable, "-c", GROUP, *given],
    }
    if without_pandas:
        todo.popitem()
    taken: dict[str, list[Run]] = {name: [] for name in todo}
    for turn in range(runs + 1):
        for name, command in todo.items():
            one = run(command)
            if turn:
                taken[name].append(one)
    wall = {name: statistics.median(one.seconds for one in found) for name, found in taken.items()}
    base = next(iter(wall.values()))
    print(f"\n{path.name}, {path.stat().st_size / 1e6:.0f} MB\n")
    print("| command | seconds | processor | peak memory | time, as a multiple of DuckDB's |")
    print("| --- | --- | --- | --- | --- |")
    for name, found in taken.items():
        processor = statistics.median(one.processor for one in found)
        memory = statistics.median(one.megabytes for one in found)
        print(
            f"| {name} | {wall[name]:.2f} | {processor:.2f} | {memory:.0f} MB | {wall[name] / base:.2f} |", flush=True
        )


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[4_000_000, 16_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    parser.add_argument("--without-pandas", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for rows in given.rows:
        path = given.folder / f"generated-{rows}.log"
        if not path.exists():
            # In a process of its own: what this one has used at most would count as its children's peak memory.
            subprocess.run([sys.executable, MAKE, path, "--rows", str(rows)], check=True)
        compare(path, given.runs, given.without_pandas)


if __name__ == "__main__":
    main()
