"""Take addresses, names, accounts and paths out of a report, each replaced by the same pseudonym everywhere.

A host is called by its role and a number (client-1, site-server-1), in the order of the report's roles; a host without
a role is a device, in order of appearance. Equal things stay equal within a report, and between reports that are
redacted together; of reports that were redacted one by one nothing can be said.

Free text holds what packets and logs said. What that is, the fields beside the text tell; of a report without them,
only what auditor itself is known to say is kept. Everywhere else whatever looks like an address, a host name, an
account or a path goes.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from types import MappingProxyType

from auditor.report import model as r
from auditor.ruleset.addresses import canonical
from auditor.ruleset.known_problems import web_paths
from auditor.ruleset.lint import ROLES, SITE_SERVER
from auditor.ruleset.package_data import EXPLANATIONS, PROBLEMS, rulesets_folder
from auditor.ruleset.statements import say
from auditor.ruleset.toml_file import scalars
from auditor.sources.dissection.steps import ANONYMOUS, StepKind
from auditor.sources.source import WITHOUT_FLOWS
from auditor.sources.summary import SourceSummary

NAMES_BETWEEN = ", "  # of the names of one host
# How version 0.1.0 words what reports today have in fields: the steps on an open port, a program or rule, quoted lines.
LISTS_OF_STEPS = re.compile("(Went well there: |Response received, result not visible: )")
STEPS = frozenset(
    (
        "agree on an SMB version",
        "log on",
        "log on by Kerberos",
        "connect to a share",
        "open a file",
        "open an RPC interface",
        "call an RPC interface",
        "ask for a dynamic port",
        "agree on encryption",
        "request",
        "...",
    )
)
SHARES = frozenset(("admin$", "ipc$", "c$", "d$"))
PIPES = frozenset(("svcctl", "winreg", "srvsvc", "wkssvc", "lsarpc", "samr", "netlogon", "atsvc", "epmapper"))
PRODUCT_FILES = frozenset(("ccmsetup", "ccmsetup.exe", "ccmsetup.cab", "mobileclient.tcf", "client.msi", "request"))
FILES = PIPES | PRODUCT_FILES
# By what a step asks for: what may be named, and of what kind all else is.
OBJECTS: dict[str, tuple[frozenset[str], str]] = {
    StepKind.CONNECT: (SHARES, "share"),
    StepKind.COPY: (SHARES, "share"),
    StepKind.OPEN: (FILES, "file"),
    StepKind.ACTIVATE: (frozenset(), "class"),
    StepKind.ASK_PORT: (frozenset(), "interface"),
    StepKind.BIND: (frozenset(), "interface"),
    StepKind.CALL: (frozenset(), "interface"),
}
NAMING = (("connect to ", StepKind.CONNECT), ("copy to ", StepKind.COPY), ("open ", StepKind.OPEN))
OWN_NAMES = PRODUCT_FILES | {
    "rules.ps1",
    "ccm.log",
    "ccmsetup.log",
    "mpsetup.log",
    "mpcontrol.log",
    "readme.md",
    "e.g",
    "i.e",
}

# What a firewall's log calls a program or rule is any text. It ends the sentence; what it ends with may be in it too.
BY = re.compile(r"\((?P<what>(?:program|rule) .*)\)", re.DOTALL)
EVERY_COMPUTER_HAS = "System"  # a program
# Where in a warning a text begins that is the source's own.
QUOTING = {"malformed-lines": (" They read: ", " It reads: "), "unknown-columns": (": ",)}
HTTP_STEP = re.compile(r"(?P<verb>[A-Z_]{2,20}) (?P<path>/.*)", re.DOTALL)
MORE = re.compile(r"\.(?: (?:From|To) \S+ it is [a-z-]+\.)*(?: This does not end the push: .*)?\Z", re.DOTALL)
ADDRESS = re.compile(
    r"""(?<![\w.])(?:
        [0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![\w:-])                                # hardware address
        | [0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.])                        # the same, as Cisco writes it
        | [0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.\d{1,3}){0,3}(?:%[\w.-]+)?      # IPv6
        | \d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)                                             # IPv4
    )""",
    re.VERBOSE,
)
TOKEN = re.compile(r"""[^\s,;()"'<>|{}=]+""")
END_OF_TOKEN = ".:!?]"
NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*\.[^\W\d][\w-]*")
# Of an administrative share, which every Windows has, only the computer is a name of the site.
ADMIN_SHARE = re.compile(r"\\\\(?P<host>[^\\]+)\\(?P<share>(?:admin|ipc|[a-z])\$)", re.IGNORECASE)
GUID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
SAME_EVERYWHERE = ("path", "name")  # kinds of what may be of Windows or of Configuration Manager
SHORTEST_LABEL = 3
LONG = 4096  # no word of auditor's own, and no path, is as long as that
WORD = re.compile("[a-z]{2,}")


def redact(report: r.Report) -> r.Report:
    """Return the report with pseudonyms for all addresses, host names, accounts and paths, and without flow table.

    Raises ArgumentError for the report of a fleet.
    """
    r.check_of_one_audit(report, "redacted")
    return redact_all((report,))[0]


def redact_all(reports: Sequence[r.Report]) -> tuple[r.Report, ...]:
    """Return reports with pseudonyms; what is equal in two of them stays equal."""
    pseudonyms = Pseudonyms(reports)
    return tuple(_report(report, pseudonyms) for report in reports)


@cache
def protected_words() -> frozenset[str]:
    """Return the words of the rulesets and explanations: a host that calls itself "blocked" must not change them."""
    return frozenset(WORD.findall(" ".join(_shipped_texts()).lower()))


@cache
def public_tokens() -> frozenset[str]:
    """Return the programs, paths, and options in texts that auditor ships: they are the same for every site."""
    tokens = {token.rstrip(END_OF_TOKEN) for text in _shipped_texts() for token in TOKEN.findall(text)}
    return frozenset(tokens | {token.rpartition("\\")[2] for token in tokens})


@cache
def _shipped_texts() -> tuple[str, ...]:
    files = [*rulesets_folder().rglob("*.toml"), EXPLANATIONS, PROBLEMS]
    tables = (tomllib.loads(file.read_text(encoding="utf-8")) for file in files)
    return tuple(value for table in tables for value in scalars(table) if isinstance(value, str))


class Pseudonyms:
    """Which pseudonym stands for what; a new one is made for what has none yet."""

    def __init__(self, reports: Sequence[r.Report]) -> None:
        self._numbers: Counter[str] = Counter()
        self._hosts: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._phrases: set[str] = set()  # names of several tokens
        self._pseudonyms: dict[tuple[str, str], str] = {}
        self._paths: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        for role, address in _cast(reports):
            self.host(address, role)
        for report in reports:
            for assignment in report.roles:
                for name in assignment.name.split(NAMES_BETWEEN) if assignment.name else ():
                    self._learn(name, assignment.address)
            for client in report.clients:
                for name in (name for names in client.names for name in names.split(NAMES_BETWEEN)):
                    self._learn(name, client.address)
            for path in (*(source.path for source in report.sources), *report.not_used):
                self._learn_path(path)
        for account in _accounts(reports):
            self.account(account)

    def host(self, address: str, role: str = "device") -> str:
        """Return the pseudonym of a host; a new one is named after the role."""
        key = _normal(address)
        if key not in self._hosts:
            self._hosts[key] = self._next(role if role in ROLES else "device")
        return self._hosts[key]

    def path(self, path: str) -> str:
        """Return the pseudonym of a source's path."""
        return self._paths[path]

    def names(self, names: Iterable[str]) -> str:
        """Return the pseudonyms of the names by which a host called itself."""
        return ", ".join(dict.fromkeys(self._names[_name_key(name)] for name in names))

    def text(self, text: str, quoted: Mapping[str, str] = MappingProxyType({})) -> str:
        """Return free text without anything that identifies. quoted: what stands for each known part of it."""
        if parts := [part for part in quoted if part in text]:
            pieces = re.split(f"({'|'.join(map(_literal, sorted(parts, key=len, reverse=True)))})", text)
            return "".join(quoted[piece] if number % 2 else self.text(piece) for number, piece in enumerate(pieces))
        if text not in self._texts:
            self._texts[text] = self._swept(text)
        return self._texts[text]

    def step(self, step: str, kind: str = "", named: str = "") -> str:
        """Return a step of a conversation; what it names is kept only if it is known to be no secret."""
        if kind:
            return step.replace(named, self.object(named, kind)) if named else step
        if not step or step in STEPS:
            return step
        verb, known = next((naming for naming in NAMING if step.startswith(naming[0])), ("", StepKind.REQUEST))
        return verb + self.object(step.removeprefix(verb), known)

    def object(self, named: str, kind: str) -> str:
        """Return what a step names. kind: what the step asks for."""
        exempt, naming = OBJECTS.get(kind, (frozenset(), "step"))
        if exempt.issuperset(named.lower().split("\\")):
            return named
        if protected_words().issuperset(WORD.findall(named.lower())):  # it names nothing but what auditor ships
            return self.text(named)
        if kind == StepKind.REQUEST and (match := HTTP_STEP.fullmatch(named)):
            return f"{match['verb']} {self._web_path(match['path'])}"
        return self._pseudonym(naming, named)

    def account(self, account: str) -> str:
        """Return the pseudonym of an account."""
        return account if account in ("", ANONYMOUS) else self._pseudonym("account", account)

    def explanation(self, text: str, quoted: Mapping[str, str] = MappingProxyType({})) -> str:
        """Return an explanation; steps were named by packets, programs and rules by a firewall's log.

        quoted: What stands for those that it cites; without, they are where version 0.1.0 has them.
        """
        if quoted:
            return self.text(text, quoted)
        introduction, *lists = LISTS_OF_STEPS.split(BY.sub(self._by, text))
        parts = [self.text(introduction)]
        for marker, steps in zip(lists[::2], lists[1::2], strict=True):
            more = MORE.search(steps) if len(steps) < LONG else None
            names = steps[: more.start()] if more else steps.removesuffix(". ")
            parts += [marker, ", ".join(self.step(step) for step in names.split(", "))]
            parts.append(self.text(more[0]) if more else ". ")
        return "".join(parts).rstrip() if lists else parts[0]

    def _by(self, match: re.Match[str]) -> str:
        return f"({self.actor(match['what'])})"

    def actor(self, actor: str) -> str:
        """Return the pseudonym of what a firewall's log calls a program or rule."""
        return (
            actor
            if actor == say("log.program", name=EVERY_COMPUTER_HAS)
            else self._pseudonym(actor.partition(" ")[0], actor)
        )

    def quoted(self, text: str) -> str:
        """Return the pseudonym of a text of a source."""
        return self._pseudonym("text", text)

    def _swept(self, text: str) -> str:
        for path in self._long_paths:
            text = text.replace(path, self._paths[path])
        return self._pattern.sub(
            lambda match: self._paths.get(match[0]) or self._phrase(match[0]) or self._token(match[0]),
            text,
        )

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """What is looked at in a text: the known paths and names of several tokens, then one token at a time."""
        paths = [path for path in self._paths if path and len(path) < LONG]
        known = sorted((*paths, *self._phrases), key=len, reverse=True)
        literals = [rf"(?<!\w)(?{'i' if text in self._phrases else ''}:{re.escape(text)})(?!\w)" for text in known]
        return re.compile("|".join((*literals, TOKEN.pattern)))

    @cached_property
    def _long_paths(self) -> list[str]:
        return sorted((path for path in self._paths if len(path) >= LONG), key=len, reverse=True)

    def _phrase(self, text: str) -> str | None:
        """Return the pseudonym of a name of several tokens, such as one with a space, which only logs contain."""
        return None if TOKEN.fullmatch(text) else self._names.get(_name_key(text))

    def _token(self, token: str) -> str:
        if len(token) > LONG:
            return self._pseudonym("text", token)
        core = token.rstrip(END_OF_TOKEN) or token
        replaced = self._names.get(_name_key(core))
        if replaced and core.lower() not in protected_words():
            return replaced + token[len(core) :]
        redacted = ADDRESS.sub(self._address, token)
        if redacted != token:
            return redacted
        if share := ADMIN_SHARE.fullmatch(core):
            return self._admin_share(share) + token[len(core) :]
        kind = _kind(core)
        if not kind or (kind in SAME_EVERYWHERE and core in public_tokens()):
            return token
        return self._pseudonym(kind, core) + token[len(core) :]

    def _admin_share(self, share: re.Match[str]) -> str:
        r"""Return an administrative share of a computer, such as \\PC7\admin$, with the pseudonym of the computer."""
        host = self._names.get(_name_key(share["host"]))
        if host is None:
            host = share["host"] if share[0] in public_tokens() else self._pseudonym("name", share["host"])
        return rf"\\{host}\{share['share']}"

    def _address(self, match: re.Match[str]) -> str:
        whole = match[0]
        address = whole.rstrip(".:") if whole.endswith((".", ":")) and not _is_address(whole) else whole
        if not _is_address(address):
            return whole
        return self.host(address) + whole[len(address) :]

    def _web_path(self, path: str) -> str:
        prefix = next((web_path for web_path in web_paths() if path.lower().startswith(web_path)), None)
        if prefix is None:
            return self._pseudonym("path", path)
        remainder = path[len(prefix) :]
        if PRODUCT_FILES.issuperset(filter(None, remainder.lower().split("/"))):
            return path
        return f"{path[: len(prefix)]}/{self._pseudonym('path', remainder)}"

    def _learn(self, name: str, address: str) -> None:
        """Remember a host's name, its first label alone, and its domain."""
        pseudonym = f"{self.host(address)}-name"
        self._names.setdefault(_name_key(name), pseudonym)
        if _is_phrase(name):
            self._phrases.add(name)
        label, dot, domain = name.partition(".")
        if len(label) >= SHORTEST_LABEL:
            self._names.setdefault(_name_key(label), pseudonym)
        if dot and "." in domain:
            domain_label = domain.partition(".")[0]
            domain_pseudonym = self._pseudonym("domain", domain)
            self._names.setdefault(_name_key(domain), domain_pseudonym)
            if len(domain_label) >= SHORTEST_LABEL:
                self._names.setdefault(_name_key(domain_label), domain_pseudonym)

    def _learn_path(self, path: str) -> None:
        pseudonym = self._paths.get(path) or self._next("source")
        self._paths[path] = pseudonym
        name = re.split(r"[/\\]", path)[-1]
        if name and name.lower() not in protected_words():
            self._paths.setdefault(name, pseudonym)

    def _pseudonym(self, kind: str, original: str) -> str:
        key = (kind, original.casefold())
        if key not in self._pseudonyms:
            self._pseudonyms[key] = self._next(kind)
        return self._pseudonyms[key]

    def _next(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}-{self._numbers[kind]}"


def _cast(reports: Sequence[r.Report]) -> Iterator[tuple[str, str]]:
    """Yield role and address of every host that plays one, role by role."""
    for role in ROLES:
        for report in reports:
            yield from ((role, assignment.address) for assignment in report.roles if assignment.role == role)
    for report in reports:
        yield from (("client", client.address) for client in report.clients)
    for report in reports:
        for client in report.clients:
            for method in client.methods:
                for requirement in method.requirements:
                    for end in (requirement.source, requirement.destination):
                        if end.address is not None:
                            yield end.role, end.address


def _accounts(reports: Sequence[r.Report]) -> Iterator[str]:
    for report in reports:
        for client in report.clients:
            for method in client.methods:
                for requirement in method.requirements:
                    yield from (problem.account for problem in requirement.problems)


def _literal(text: str) -> str:
    """Return a pattern of exactly this text; a single word only as a whole one."""
    literal = re.escape(text)
    return rf"(?<!\w){literal}(?!\w)" if re.fullmatch(r"\w+", text) else literal


def _is_phrase(name: str) -> bool:
    """Tell whether a name has several tokens, and other words than the report has itself."""
    own_words = protected_words().issuperset(name.lower().split())
    return SHORTEST_LABEL <= len(name) < LONG and not own_words and not TOKEN.fullmatch(name)


def _name_key(name: str) -> str:
    return name.casefold()


def _is_address(text: str) -> bool:
    if re.fullmatch(
        r"\d{1,3}(\.\d{1,3}){3}|[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2}", text
    ):
        return True
    return canonical(text) != ""


def _normal(address: str) -> str:
    """Return one spelling for all spellings of an address."""
    if re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2}", address):
        return re.sub("[:.-]", "", address).lower()
    return canonical(address.partition("%")[0]) or address


def _kind(core: str) -> str:
    """Return what a word looks like: path, account or name; empty if it is just a word."""
    if GUID.fullmatch(core):
        return "guid"
    if "://" in core:
        return "" if protected_words().issuperset(WORD.findall(core.lower())) else "url"
    if "\\" in core:
        return "account" if re.fullmatch(r"[\w.-]+\\[\w.$-]+", core) else "path"
    if "@" in core:
        return "account"
    if re.match(r"/\w|[A-Za-z]:/|~/|\.{1,2}/", core) or re.search(r"\w/.*\.\w{1,8}$", core):
        is_public = core.lower() in web_paths() or core in ("/source", "/source:")
        return "" if is_public else "path"
    return "name" if NAME.fullmatch(core) and core.lower() not in OWN_NAMES else ""


# the document, part by part


def _report(report: r.Report, pseudonyms: Pseudonyms) -> r.Report:
    return replace(
        report,
        ruleset=replace(
            report.ruleset,
            title=pseudonyms.text(report.ruleset.title),
            reference=pseudonyms.text(report.ruleset.reference),
        ),
        sources=tuple(_source(source, pseudonyms) for source in report.sources),
        roles=tuple(_role(role, pseudonyms) for role in report.roles),
        modes=tuple(_mode(mode, pseudonyms) for mode in report.modes),
        pushes=tuple(_push(push, pseudonyms) for push in report.pushes),
        clients=tuple(_client(client, pseudonyms) for client in _with_quoted_lines(report, pseudonyms)),
        limitations=tuple(
            replace(limitation, text=pseudonyms.text(_unquoted(limitation.code, limitation.text)))
            for limitation in report.limitations
        ),
        not_used=tuple(map(pseudonyms.path, report.not_used)),
        all_flows=None,
    )


def _with_quoted_lines(report: r.Report, pseudonyms: Pseudonyms) -> Iterator[r.ClientReport]:
    """Yield the clients; a line of ConfigMgr's logs, which can name anything, is replaced as a whole."""
    logs = {number for number, source in enumerate(report.sources) if source.kind in WITHOUT_FLOWS}

    def hidden(proofs: tuple[r.Evidence, ...]) -> tuple[r.Evidence, ...]:
        return tuple(
            replace(proof, text=pseudonyms.quoted(proof.text)) if proof.source in logs else proof for proof in proofs
        )

    for client in report.clients:
        methods = tuple(
            replace(
                method,
                reasons=tuple(
                    replace(reason, evidence=hidden(reason.evidence), logged=None) for reason in method.reasons
                ),
                requirements=tuple(
                    replace(row, evidence=hidden(row.evidence), logged=None) for row in method.requirements
                ),
            )
            for method in client.methods
        )
        yield replace(client, methods=methods)


def _source(source: SourceSummary, pseudonyms: Pseudonyms) -> SourceSummary:
    quoted = {text: pseudonyms.quoted(text) for text in source.quoted}
    warnings = tuple(
        replace(
            warning,
            text=pseudonyms.text(warning.text if quoted else _unquoted(warning.code, warning.text), quoted),
            quoted="",
        )
        for warning in source.warnings
    )
    return replace(source, path=pseudonyms.path(source.path), warnings=warnings, quoted=tuple(quoted.values()))


def _unquoted(code: str, text: str) -> str:
    """Return a warning without what it quotes."""
    for marker in QUOTING.get(code, ()):
        text = text.partition(marker)[0]
    return text


def _role(role: r.RoleAssignment, pseudonyms: Pseudonyms) -> r.RoleAssignment:
    name = pseudonyms.names(role.name.split(NAMES_BETWEEN)) if role.name else ""
    return replace(role, address=pseudonyms.host(role.address), name=name, why=pseudonyms.text(role.why))


def _mode(mode: r.SiteMode, pseudonyms: Pseudonyms) -> r.SiteMode:
    server = pseudonyms.host(mode.site_server) if mode.site_server else ""
    return replace(mode, site_server=server, why=pseudonyms.text(mode.why))


def _push(push: r.Push, pseudonyms: Pseudonyms) -> r.Push:
    return replace(
        push,
        from_address=push.from_address and pseudonyms.host(push.from_address),
        to_address=pseudonyms.host(push.to_address),
        why=pseudonyms.text(push.why),
        steps=tuple(_step(step, pseudonyms) for step in push.steps),
    )


def _step(step: r.PushStep, pseudonyms: Pseudonyms) -> r.PushStep:
    named = pseudonyms.object(step.object, step.kind) if step.object else ""
    return replace(step, step=pseudonyms.step(step.step, step.kind, step.object), object=named)


def _client(client: r.ClientReport, pseudonyms: Pseudonyms) -> r.ClientReport:
    return r.ClientReport(
        address=pseudonyms.host(client.address),
        methods=tuple(_method(method, pseudonyms) for method in client.methods),
        recommendation=tuple(
            replace(
                recommendation,
                why=pseudonyms.text(recommendation.why),
                still_needs=tuple(pseudonyms.text(need) for need in recommendation.still_needs),
            )
            for recommendation in client.recommendation
        ),
        names=tuple(pseudonyms.names(name.split(NAMES_BETWEEN)) for name in client.names),
    )


def _method(method: r.MethodResult, pseudonyms: Pseudonyms) -> r.MethodResult:
    rows = {requirement.id: requirement for requirement in method.requirements}
    return replace(
        method,
        title=pseudonyms.text(method.title),
        site_server=method.site_server and pseudonyms.host(method.site_server, SITE_SERVER),
        reasons=tuple(_reason(reason, rows.get(reason.requirement), pseudonyms) for reason in method.reasons),
        requirements=tuple(_requirement(requirement, pseudonyms) for requirement in method.requirements),
    )


def _reason(reason: r.Reason, row: r.RequirementVerdict | None, pseudonyms: Pseudonyms) -> r.Reason:
    """Return a reason; it cites what the explanation, or a problem, of its requirement cites."""
    reason = replace(reason, remedy=tuple(_remedy(remedy, pseudonyms) for remedy in reason.remedy))
    if row and reason.kind == "problem":
        return replace(reason, text=pseudonyms.text(reason.text, _of_problems(row.problems, pseudonyms)))
    return replace(reason, text=pseudonyms.explanation(reason.text, _quoted(row, pseudonyms) if row else {}))


def _quoted(requirement: r.RequirementVerdict, pseudonyms: Pseudonyms) -> dict[str, str]:
    """Return what the explanation of a requirement cites from packets and logs, with what stands for each."""
    steps = {step.step: _step(step, pseudonyms).step for step in requirement.steps}
    return steps | {proof.by: pseudonyms.actor(proof.by) for proof in requirement.evidence if proof.by}


def _of_problems(problems: Iterable[r.Problem], pseudonyms: Pseudonyms) -> dict[str, str]:
    """Return what the texts of problems cite, with what stands for each."""
    return {text: pseudonym for problem in problems for text, pseudonym in _named(problem, pseudonyms).items()}


def _named(problem: r.Problem, pseudonyms: Pseudonyms) -> dict[str, str]:
    step = pseudonyms.step(problem.step, problem.step_kind, problem.object)
    named = {problem.step: step, problem.account: pseudonyms.account(problem.account)}
    return {text: pseudonym for text, pseudonym in named.items() if text}


def _requirement(requirement: r.RequirementVerdict, pseudonyms: Pseudonyms) -> r.RequirementVerdict:
    quoted = _quoted(requirement, pseudonyms)
    return replace(
        requirement,
        description=pseudonyms.text(requirement.description),
        source=_end(requirement.source, pseudonyms),
        destination=_end(requirement.destination, pseudonyms),
        explanation=pseudonyms.explanation(requirement.explanation, quoted),
        also_blocked=tuple(_block(block, quoted, pseudonyms) for block in requirement.also_blocked),
        evidence=tuple(_evidence(proof, requirement.problems, quoted, pseudonyms) for proof in requirement.evidence),
        problems=tuple(_problem(problem, pseudonyms) for problem in requirement.problems),
        remedy=tuple(_remedy(remedy, pseudonyms) for remedy in requirement.remedy),
        steps=tuple(_step(step, pseudonyms) for step in requirement.steps),
    )


def _remedy(remedy: r.Remedy, pseudonyms: Pseudonyms) -> r.Remedy:
    return replace(
        remedy, action=pseudonyms.text(remedy.action), command=remedy.command and pseudonyms.text(remedy.command)
    )


def _block(block: r.Block, quoted: Mapping[str, str], pseudonyms: Pseudonyms) -> r.Block:
    source, destination = pseudonyms.host(block.source), pseudonyms.host(block.destination)
    return replace(block, source=source, destination=destination, text=pseudonyms.explanation(block.text, quoted))


def _end(end: r.Endpoint, pseudonyms: Pseudonyms) -> r.Endpoint:
    return end if end.address is None else replace(end, address=pseudonyms.host(end.address, end.role))


def _problem(problem: r.Problem, pseudonyms: Pseudonyms) -> r.Problem:
    named = _named(problem, pseudonyms)
    return replace(
        problem,
        layer=pseudonyms.text(problem.layer) if problem.line is not None else problem.layer,
        text=pseudonyms.text(problem.text, named),
        step=named.get(problem.step, ""),
        account=named.get(problem.account, ""),
        object=pseudonyms.object(problem.object, problem.step_kind) if problem.object else "",
    )


def _evidence(
    proof: r.Evidence, problems: Iterable[r.Problem], quoted: Mapping[str, str], pseudonyms: Pseudonyms
) -> r.Evidence:
    """Return a proof; that of a problem is its frame."""
    failed = _of_problems([problem for problem in problems if (problem.frame,) == proof.frames], pseudonyms)
    text = pseudonyms.explanation(proof.text, {**quoted, **failed})
    # Wireshark knows no pseudonym, but the frames have the same numbers.
    shown = f"frame.number in {{{', '.join(map(str, proof.frames))}}}" if proof.display_filter else ""
    packets = tuple(
        replace(packet, sender=pseudonyms.host(packet.sender), receiver=pseudonyms.host(packet.receiver))
        for packet in proof.packets
    )
    return replace(proof, text=text, display_filter=shown, packets=packets, by=quoted.get(proof.by, ""))
