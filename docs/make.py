"""Build the documentation as a site that can be read offline: python docs/make.py [FOLDER], else build/docs.

The guide is built from docs/ with Zensical, the pages of the Python API with pdoc.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pdoc

import auditor

ROOT = Path(__file__).resolve().parent.parent
# The rest is inside, and free to change.
MODULES = ("auditor", "auditor.report.model", "auditor.render.tables.frames", "auditor.report.fleet_model")
OTHERS = r"!auditor\.(?!report$|render\.frames$|fleet\.document$).+"
# Files that pages link to, beside docs/: the site has them below project/.
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "rulesets/README.md", "sample_captures/README.md")
LINK = re.compile(r"(\]\()([^):#\s]+)((?:#[^)\s]*)?\))")
FENCED = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
# What the theme loads from the Internet for functions that these pages don't use.
REMOTE_SCRIPT = re.compile(r'<script[^>]*\ssrc="https?://[^"]*"[^>]*>\s*</script>')
REMOTE_CODE = re.compile(r"https://(?:unpkg\.com|cdn\.jsdelivr\.net)/[^\"'`\s]*")
NOTHING = "data:text/javascript,"
# Browsers start no worker from a file, so the search of the theme runs in the page itself. SEARCH stands for its code.
IN_PAGE = """if (location.protocol === "file:") window.Worker = class {
  constructor() {
    const post = data => setTimeout(() => this.onmessage?.({ data: structuredClone(data) }));
    this.scope = { postMessage: post };
    (self => { SEARCH })(this.scope);
  }
  postMessage(data) { setTimeout(() => this.scope.onmessage({ data: structuredClone(data) })); }
  terminate() {}
};
"""


def build(target: Path) -> None:
    """Write the site, which loads nothing from elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copy_pages(work / "docs")
        build_api(work / "docs" / "api")
        settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
        (work / "mkdocs.yml").write_text(settings.replace("site_dir: build/docs", "site_dir: site"), encoding="utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
        environment = {**os.environ, "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        strip(work / "site")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(work / "site", target)


def copy_pages(folder: Path) -> None:
    """Copy docs/ and what it links to, with links that lead to the copies."""
    docs, notebooks = ROOT / "docs", ROOT / "notebooks"
    places = {path: folder / path.relative_to(docs) for path in sorted(docs.rglob("*.md"))}
    beside = [*(ROOT / name for name in PROJECT), *sorted(notebooks.glob("*.ipynb"))]
    places |= {path: folder / "project" / path.relative_to(ROOT) for path in beside}
    places |= {path: folder / path.relative_to(docs) for path in sorted(docs.rglob("*.png"))}
    targets = places | {ROOT / "README.md": folder / "index.md"}  # which begins with the same text
    for path, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            place.write_text(relinked(path.read_text(encoding="utf-8"), path, targets), encoding="utf-8")
        else:
            shutil.copy(path, place)


def relinked(text: str, path: Path, targets: dict[Path, Path]) -> str:
    """Return the text of a page with links that lead to the copies of their targets."""

    def link(found: re.Match[str]) -> str:
        target = (path.parent / found[2]).resolve()
        if target not in targets:
            raise SystemExit(f"{path.relative_to(ROOT)}: {found[2]} is not part of the site")
        return found[1] + os.path.relpath(targets[target], targets[path].parent).replace(os.sep, "/") + found[3]

    blocks = [(found.start(), found.end()) for found in FENCED.finditer(text)]
    return LINK.sub(lambda one: one[0] if any(a <= one.start() < b for a, b in blocks) else link(one), text)


def build_api(folder: Path) -> None:
    """Write the pages of the Python API."""
    for name in auditor.__all__:
        getattr(auditor, name)  # pdoc does not see what is loaded on first use
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*MODULES, OTHERS, output_directory=folder)


def strip(site: Path) -> None:
    """Remove what loads from the Internet, and what only a web server uses; let the search work without a server."""
    for name in ("404.html", "sitemap.xml", "sitemap.xml.gz"):
        (site / name).unlink(missing_ok=True)
    (worker,) = (site / "assets" / "javascripts" / "workers").glob("search.*.js")
    search = site / "assets" / "javascripts" / "search-in-page.js"
    search.write_text(IN_PAGE.replace("SEARCH", worker.read_text(encoding="utf-8")), encoding="utf-8")
    for path in site.rglob("*.html"):
        local = f'<script src="{os.path.relpath(search, path.parent).replace(os.sep, "/")}"></script>'
        path.write_text(REMOTE_SCRIPT.sub(local, path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in site.rglob("*.js"):
        path.write_text(REMOTE_CODE.sub(NOTHING, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    build(target)
    print(target / "index.html")
