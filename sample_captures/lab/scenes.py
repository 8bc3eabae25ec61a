"""The scenes, as data: what is set up, what then happens, and what is therefore true of every requirement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from captures import Tap
from firewall_log import ALLOWED_IN, ALLOWED_OUT, DROP
from hosts import (
    ADMIN_SHARE_FOR_ALL,
    ADMIN_SHARE_FOR_OTHERS,
    NO_ADMIN_SHARE,
    NO_ADMINISTRATOR,
    USUAL_SERVICES,
    Services,
)
from network import CLIENT, MANAGEMENT_POINT, OTHER_HOST, SITE_SERVER, Host, Network
from push import HTTP, HTTP_8080, HTTPS, Failed, Trust, ask_service_controller, create_service, push, read_registry
from stories import (
    WRONG_PASSWORD,
    begin_only,
    other_traffic,
    push_after_echo_to_management_point,
    push_after_wrong_password,
    push_again_without_rules,
    push_in_other_traffic,
    push_to_client_switched_off,
    push_with_disabled_account,
)

AT_SITE_SERVER = Tap("site-server")
AT_CLIENT = Tap("client")
AT_BOTH_ENDS = (AT_SITE_SERVER, AT_CLIENT)

TO_CLIENT = f"iifname {SITE_SERVER.router_interface} oifname {CLIENT.router_interface}"
TO_SITE_SERVER = f"iifname {CLIENT.router_interface} oifname {SITE_SERVER.router_interface}"
TO_MANAGEMENT_POINT = f"iifname {CLIENT.router_interface} oifname {MANAGEMENT_POINT.router_interface}"
SMB = "tcp dport 445"
ENDPOINT_MAPPER = "tcp dport 135"
DYNAMIC = "tcp dport 49152-65535"

OPEN = {
    "icmp-echo": "open",
    "smb": "open",
    "rpc-endpoint-mapper": "open",
    "rpc-endpoint-mapper-udp": "not-observed",
    "rpc-dynamic": "open",
    "http-management-point": "open",
    "https-management-point": "not-observed",
}
NOTHING_SEEN = dict.fromkeys(OPEN, "not-observed")
NOT_INSTALLED = OPEN | {"http-management-point": "not-observed"}
NO_RPC = NOT_INSTALLED | {"rpc-dynamic": "not-observed"}
SMB_BLOCKED = NOT_INSTALLED | {"smb": "blocked"}
OVER_HTTPS = OPEN | {"http-management-point": "not-observed", "https-management-point": "open"}
SERVICE_PORT = 49664

FILE_COPY = ("file copy",)
REMOTE_CALL = ("remote call",)
INSTALLER = ("installer",)
EVERYTHING = ("echo", *FILE_COPY, *REMOTE_CALL)

AT_ONCE, SHORTLY, AFTER_SILENCE = 0.1, 0.7, 4.5  # seconds without a packet that end a capture


@dataclass(frozen=True)
class WithLog:
    """What is true of a scene once the log of the client's own firewall is read beside its captures."""

    requirements: Mapping[str, str]
    result: str
    confidence: Mapping[str, str]


@dataclass(frozen=True)
class Scene:
    """One failed or successful push: its set-up, and the truth about it."""

    name: str
    title: str
    done: str
    because: str
    requirements: Mapping[str, str]
    result: str
    blocked_at: str = "nowhere"
    result_without_dissection: str = ""  # empty: the same as with it
    failed: Failed = ()
    story: Callable[[Network], Failed] = push
    taps: Sequence[Tap] = (AT_SITE_SERVER,)
    form: str = "pcap"
    services: Services = USUAL_SERVICES
    router_rules: Sequence[str] = ()
    client_rules: Sequence[str] = ()
    client_outbound_rules: Sequence[str] = ()
    absent: Sequence[Host] = ()
    ipv6: bool = False
    addresses: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    mode: str = ""  # native or mixed, where the administrator would know and say so
    roles: Sequence[Host] = (SITE_SERVER, CLIENT, MANAGEMENT_POINT)
    quiet_seconds: float = SHORTLY
    confidence: Mapping[str, str] = field(default_factory=dict)  # of the captures alone, where a log adds to it
    with_log: WithLog | None = None  # None: the client's firewall has no log


WORKING = (
    Scene(
        name="all-open",
        title="A push that works",
        done="no rules anywhere; a push",
        because="Nothing was blocked and every step of the push succeeded.",
        requirements=OPEN,
        result="works",
        taps=(AT_CLIENT,),
    ),
    Scene(
        name="all-open-at-site-server",
        title="A push that works, seen by the site server, which cannot see the client reach the management point",
        done="no rules anywhere; a push; the client's own traffic does not pass the site server",
        because="Everything that the site server can see worked; whether the client reached its management point is "
        "not in this capture.",
        requirements=NOT_INSTALLED,
        result="unproven",
    ),
    Scene(
        name="mp-other-port",
        title="A push that works; the management point uses port 8080",
        done="no rules anywhere; the management point listens on 8080 only; a push",
        because="Nothing was blocked; the site's alternate port 8080 answered.",
        requirements=OPEN,
        result="works",
        taps=(AT_CLIENT,),
        services=Services(http=8080),
        story=partial(push, urls=(HTTP_8080,)),
        ports={"http-management-point": 8080},
    ),
    Scene(
        name="mp-https",
        title="A push that works; the management point uses HTTPS only",
        done="no rules anywhere; the management point listens on 443 only; a push",
        because="Nothing was blocked; the management point answered over HTTPS.",
        requirements=OVER_HTTPS,
        result="works",
        taps=(AT_CLIENT,),
        services=Services(http=None, https=443),
        story=partial(push, urls=(HTTPS,)),
    ),
    Scene(
        name="ipv6",
        title="A push that works, over IPv6",
        done="no rules anywhere; names resolve to IPv6 addresses; a push",
        because="Nothing was blocked and every step of the push succeeded.",
        requirements=OPEN,
        result="works",
        taps=(AT_CLIENT,),
        form="pcapng",
        ipv6=True,
    ),
    Scene(
        name="dropped-then-open",
        title="SMB dropped by the client's own firewall, then opened: the second push works",
        done="nft rule on the client: input tcp dport 445 drop; a push; the rule is removed; a second push",
        because="The client's own firewall dropped SMB at first; after it was opened everything worked.",
        requirements=OPEN,
        result="works",
        taps=(AT_CLIENT,),
        story=push_again_without_rules,
        client_rules=(f"{SMB} drop",),
    ),
)

SILENTLY_DROPPED = (
    Scene(
        name="echo-dropped",
        title="ICMP echo silently dropped by the router",
        done="nft rule on the router: forward icmp type echo-request drop, site server to client; a push",
        because="Something between site server and client drops the ICMP echo request.",
        requirements=NOT_INSTALLED | {"icmp-echo": "blocked"},
        result="fails",
        blocked_at="between",
        failed=("echo",),
        router_rules=(f"{TO_CLIENT} icmp type echo-request drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="smb-dropped",
        title="SMB (TCP 445) silently dropped by the router",
        done="nft rule on the router: forward tcp dport 445 drop, site server to client; a push",
        because="Something between site server and client drops SMB (TCP 445).",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        router_rules=(f"{TO_CLIENT} {SMB} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="rpc-135-dropped",
        title="RPC endpoint mapper (TCP 135) silently dropped by the router",
        done="nft rule on the router: forward tcp dport 135 drop, site server to client; a push",
        because="Something between site server and client drops the RPC endpoint mapper (TCP 135).",
        requirements=NO_RPC | {"rpc-endpoint-mapper": "blocked"},
        result="fails",
        blocked_at="between",
        failed=REMOTE_CALL,
        router_rules=(f"{TO_CLIENT} {ENDPOINT_MAPPER} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="rpc-dynamic-dropped",
        title="RPC dynamic ports silently dropped by the router; 445 and 135 are open",
        done="nft rule on the router: forward tcp dport 49152-65535 drop, site server to client; a push",
        because="Something between site server and client drops the RPC dynamic ports.",
        requirements=NOT_INSTALLED | {"rpc-dynamic": "blocked"},
        result="fails",
        blocked_at="between",
        failed=REMOTE_CALL,
        router_rules=(f"{TO_CLIENT} {DYNAMIC} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="ipv6-smb-dropped",
        title="SMB (TCP 445) silently dropped by the router, over IPv6",
        done="nft rule on the router: forward tcp dport 445 drop, site server to client; a push over IPv6",
        because="Something between site server and client drops SMB (TCP 445) over IPv6.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        router_rules=(f"{TO_CLIENT} {SMB} drop",),
        quiet_seconds=AFTER_SILENCE,
        ipv6=True,
    ),
    Scene(
        name="smb-dropped-on-client",
        title="SMB (TCP 445) silently dropped by the client's own firewall, seen at the site server",
        done="nft rule on the client: input tcp dport 445 drop; a push",
        because="The client's own firewall drops SMB (TCP 445); the site server alone cannot tell where.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="client",
        failed=FILE_COPY,
        client_rules=(f"{SMB} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="both-ends-dropped-between",
        title="SMB (TCP 445) dropped by the router, captured at both ends",
        done="nft rule on the router: forward tcp dport 445 drop, site server to client; a push",
        because="SMB (TCP 445) leaves the site server and never arrives at the client.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        taps=AT_BOTH_ENDS,
        router_rules=(f"{TO_CLIENT} {SMB} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="both-ends-dropped-on-client",
        title="SMB (TCP 445) dropped by the client's own firewall, captured at both ends",
        done="nft rule on the client: input tcp dport 445 drop; a push",
        because="SMB (TCP 445) arrives at the client's network card, and the client's own firewall drops it.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="client",
        failed=FILE_COPY,
        taps=AT_BOTH_ENDS,
        client_rules=(f"{SMB} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="return-path-dropped",
        title="SMB answers (from TCP 445) dropped on the way back, captured at both ends",
        done="nft rule on the router: forward tcp sport 445 drop, client to site server; a push",
        because="The client answers SMB (TCP 445), but something between drops its answers on the way back.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        taps=AT_BOTH_ENDS,
        router_rules=(f"{TO_SITE_SERVER} tcp sport 445 drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="cooked-router",
        title="RPC endpoint mapper (TCP 135) dropped, captured on all of the router's interfaces (Linux cooked v1)",
        done="nft rule on the router: forward tcp dport 135 drop, site server to client; a push",
        because="The router drops the RPC endpoint mapper (TCP 135).",
        requirements=NO_RPC | {"rpc-endpoint-mapper": "blocked"},
        result="fails",
        blocked_at="between",
        failed=REMOTE_CALL,
        taps=(Tap("router", "any", ("-y", "LINUX_SLL")),),
        router_rules=(f"{TO_CLIENT} {ENDPOINT_MAPPER} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="push-in-traffic",
        title="SMB (TCP 445) dropped, amid the traffic of other hosts (all router interfaces, Linux cooked v2)",
        done="nft rule on the router: forward tcp dport 445 drop, site server to client; a push while another host "
        "asks the management point for names and pages",
        because="The router drops SMB (TCP 445); the other hosts' traffic has nothing to do with it.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        taps=(Tap("router", "any"),),
        story=push_in_other_traffic,
        router_rules=(f"{TO_CLIENT} {SMB} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
)

REJECTED = (
    Scene(
        name="smb-reset",
        title="SMB (TCP 445) rejected by the router with a TCP reset",
        done="nft rule on the router: forward tcp dport 445 reject with tcp reset, site server to client; a push",
        because="SMB (TCP 445) is refused; a device between, not the client, sends the resets.",
        requirements=NOT_INSTALLED | {"smb": "refused"},
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        router_rules=(f"{TO_CLIENT} {SMB} reject with tcp reset",),
    ),
    Scene(
        name="smb-not-listening",
        title="SMB (TCP 445) refused by the client: nothing listens there",
        done="no rules anywhere; smbd does not run on the client; a push",
        because="The client is reached, but no file sharing listens on TCP 445.",
        requirements=NOT_INSTALLED | {"smb": "refused"},
        result="fails",
        blocked_at="client",
        failed=FILE_COPY,
        services=Services(share=None),
    ),
    Scene(
        name="rpc-135-prohibited",
        title="RPC endpoint mapper (TCP 135) rejected by the router with ICMP type 3 code 13",
        done="nft rule on the router: forward tcp dport 135 reject with icmp admin-prohibited, site server to client; "
        "a push",
        because="The router says that it prohibits the RPC endpoint mapper (TCP 135).",
        requirements=NO_RPC | {"rpc-endpoint-mapper": "blocked"},
        result="fails",
        blocked_at="between",
        failed=REMOTE_CALL,
        router_rules=(f"{TO_CLIENT} {ENDPOINT_MAPPER} reject with icmp type admin-prohibited",),
    ),
    Scene(
        name="rpc-dynamic-reset",
        title="RPC dynamic ports rejected by the router with a TCP reset; 445 and 135 are open",
        done="nft rule on the router: forward tcp dport 49152-65535 reject with tcp reset, site server to client; "
        "a push",
        because="The RPC dynamic ports are refused; a device between, not the client, sends the resets.",
        requirements=NOT_INSTALLED | {"rpc-dynamic": "refused"},
        result="fails",
        blocked_at="between",
        failed=REMOTE_CALL,
        router_rules=(f"{TO_CLIENT} {DYNAMIC} reject with tcp reset",),
    ),
    Scene(
        name="ipv6-smb-prohibited",
        title="SMB (TCP 445) rejected by the router with ICMPv6 type 1 code 1",
        done="nft rule on the router: forward tcp dport 445 reject with icmpv6 admin-prohibited, site server to "
        "client; a push over IPv6",
        because="The router says that it prohibits SMB (TCP 445).",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="between",
        failed=FILE_COPY,
        router_rules=(f"{TO_CLIENT} {SMB} reject with icmpv6 type admin-prohibited",),
        ipv6=True,
    ),
)

AWAY = {"icmp-echo": "unreachable", "smb": "unreachable", "rpc-endpoint-mapper": "unreachable"}
SILENT = {"icmp-echo": "no-response", "smb": "no-response", "rpc-endpoint-mapper": "no-response"}
CLIENT_AWAY = (
    Scene(
        name="client-unreachable",
        title="The router says that the client's address is not there (ICMP type 3 code 1)",
        done="the client has no address; a push; the router finds nobody by ARP and answers host unreachable",
        because="The client is not on its network: switched off, or it has another address by now.",
        requirements=NOTHING_SEEN | AWAY,
        result="fails",
        blocked_at="client",
        failed=EVERYTHING,
        absent=(CLIENT,),
    ),
    Scene(
        name="ipv6-client-unreachable",
        title="The router says that the client's IPv6 address is not there (ICMPv6 type 1 code 3)",
        done="the client has no address; a push over IPv6; the router finds nobody and answers address unreachable",
        because="The client is not on its network: switched off, or it has another address by now.",
        requirements=NOTHING_SEEN | AWAY,
        result="fails",
        blocked_at="client",
        failed=EVERYTHING,
        absent=(CLIENT,),
        ipv6=True,
    ),
    Scene(
        name="client-off",
        title="The client is off and nobody says so: nothing at all is answered",
        done="the client has no address, the router still knows its hardware address and forwards; a push",
        because="Nothing came from the client: it is off, or everything to it is blocked.",
        requirements=NOTHING_SEEN | SILENT,
        result="fails",
        blocked_at="client",
        failed=EVERYTHING,
        story=push_to_client_switched_off,
        absent=(CLIENT,),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="client-off-same-subnet",
        title="The client is off, on the site server's own subnet: ARP requests stay no-response",
        done="the client's name resolves to 10.20.1.20, an address that nobody has; a push",
        because="Nobody on the site server's own network answers for the client's address, so nothing else was sent.",
        requirements=NOTHING_SEEN | AWAY | {"rpc-dynamic": "unreachable"},
        result="fails",
        blocked_at="client",
        failed=EVERYTHING,
        addresses={CLIENT.role: "10.20.1.20"},
        quiet_seconds=AFTER_SILENCE,
    ),
)

PROBLEMS = (
    Scene(
        name="wrong-password",
        title="All ports open, but the push account's password is wrong",
        done="no rules anywhere; a push with a wrong password",
        because="The network is fine: the client refuses the account (logon failure).",
        requirements=NOT_INSTALLED,
        result="fails",
        result_without_dissection="unproven",
        failed=("file copy", "remote call"),
        story=partial(push, password=WRONG_PASSWORD),
    ),
    Scene(
        name="access-denied",
        title="All ports open, but the push account may not use ADMIN$",
        done="no rules anywhere; ADMIN$ is not shared with the account; a push",
        because="The network is fine: the account has no rights to ADMIN$ (access denied).",
        requirements=NOT_INSTALLED,
        result="fails",
        result_without_dissection="unproven",
        failed=FILE_COPY,
        services=Services(share=ADMIN_SHARE_FOR_OTHERS),
    ),
    Scene(
        name="no-admin-share",
        title="All ports open, but the client has no ADMIN$ share",
        done="no rules anywhere; the client does not share ADMIN$; a push",
        because="The network is fine: the client has no ADMIN$ share (bad network name).",
        requirements=NOT_INSTALLED,
        result="fails",
        result_without_dissection="unproven",
        failed=FILE_COPY,
        services=Services(share=NO_ADMIN_SHARE),
    ),
    Scene(
        name="mp-500",
        title="All ports open, but the management point answers HTTP 500",
        done="no rules anywhere; the management point answers everything with HTTP 500; a push",
        because="The network is fine: the management point itself is broken (HTTP 500).",
        requirements=OPEN,
        result="fails",
        result_without_dissection="works",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        form="pcap.gz",
        services=Services(status=500),
    ),
    Scene(
        name="mp-untrusted-certificate",
        title="All ports open, but the client does not trust the management point's certificate",
        done="no rules anywhere; the management point's certificate is self-signed and the client checks it; a push",
        because="The network is fine: the client does not trust the management point's certificate.",
        requirements=OVER_HTTPS,
        result="fails",
        result_without_dissection="works",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        services=Services(http=None, https=443),
        story=partial(push, urls=(HTTPS,), trust=Trust.PUBLIC),
    ),
)

ACCOUNT_PROBLEMS = (
    Scene(
        name="account-disabled",
        title="All ports open, but the push account is disabled",
        done="no rules anywhere; smbpasswd -d disables the account on the client; a push",
        because="The network is fine: the client says that the account is disabled.",
        requirements=NOT_INSTALLED,
        result="fails",
        result_without_dissection="unproven",
        failed=("file copy", "remote call"),
        story=push_with_disabled_account,
    ),
    Scene(
        name="wrong-password-then-right",
        title="The first push account's password is wrong, the second account works",
        done="no rules anywhere; a file copy with one account and a wrong password; a push with another account",
        because="The client refused the first account (logon failure); with the second one every step succeeded.",
        requirements=OPEN,
        result="works",
        taps=(AT_CLIENT,),
        story=push_after_wrong_password,
    ),
)

SERVICE_PROBLEMS = (
    Scene(
        name="endpoint-not-registered",
        title="All ports open, but the service that is called is not registered with the endpoint mapper",
        done="no rules anywhere; the program for the interface called (samr) does not run on the client; a push",
        because="The network is fine: the endpoint mapper knows no port for the service, because it does not run.",
        requirements=NO_RPC,
        result="fails",
        result_without_dissection="unproven",
        failed=REMOTE_CALL,
        services=Services(rpc_without="rpcd_lsad"),
    ),
    Scene(
        name="winreg-pipe-missing",
        title="All ports open, but the Remote Registry service does not run: its pipe is missing",
        done="no rules anywhere; the program that serves winreg does not run on the client; a push that reads the "
        "client's registry too",
        because="The network is fine: there is no pipe winreg, because the Remote Registry service does not run.",
        requirements=NOT_INSTALLED,
        result="fails",
        result_without_dissection="unproven",
        failed=("registry",),
        services=Services(rpc_without="rpcd_winreg"),
        story=partial(push, more={"registry": read_registry}),
    ),
    Scene(
        name="service-access-denied",
        title="All ports open, but the push account may not create a service on the client",
        done="no rules anywhere; the account may write to ADMIN$, but is no administrator of the client; a push that "
        "opens the service controller (svcctl) with the right to create a service too",
        because="The network is fine: the service controller refuses the account (access denied).",
        requirements=NOT_INSTALLED,
        result="fails",
        result_without_dissection="unproven",
        failed=("service",),
        services=Services(share=ADMIN_SHARE_FOR_ALL, account=NO_ADMINISTRATOR),
        story=partial(push, more={"service": create_service}),
    ),
    Scene(
        name="service-port-dropped",
        title="The service controller's dynamic port dropped by the client; its pipe on 445 works, so does the push",
        done=f"nft rule on the client: input tcp dport {SERVICE_PORT} drop; a push that asks the service controller "
        "(svcctl) too: over TCP in vain, then through its pipe",
        because="The client's own firewall drops the service controller's dynamic port; that costs time only, because "
        "it is reached through its pipe on TCP 445 then.",
        requirements=OPEN | {"rpc-dynamic": "blocked"},
        result="works",
        result_without_dissection="fails",
        blocked_at="client",
        taps=(AT_CLIENT,),
        services=Services(service_port=SERVICE_PORT),
        story=partial(push, more={"service": ask_service_controller}),
        client_rules=(f"tcp dport {SERVICE_PORT} drop",),
    ),
)


def _refusing(status: int, because: str) -> Scene:
    """A management point that answers everything with one HTTP status."""
    return Scene(
        name=f"mp-{status}",
        title=f"All ports open, but the management point answers HTTP {status}",
        done=f"no rules anywhere; the management point answers everything with HTTP {status}; a push",
        because=f"The network is fine: {because} (HTTP {status}).",
        requirements=OPEN,
        result="fails",
        result_without_dissection="works",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        services=Services(status=status),
    )


MANAGEMENT_POINT_PROBLEMS = (
    _refusing(401, "the management point wants the client to log on"),
    _refusing(403, "the management point forbids the client what it asks for"),
    _refusing(404, "the web server answers, but no management point is installed there"),
    Scene(
        name="proxy-refuses-ccm-post",
        title="All ports open, but a proxy between client and management point refuses CCM_POST (HTTP 405)",
        done="nft rule on the router: prerouting tcp dport 80 redirect to a proxy, from the client; the proxy passes "
        "GET on and answers CCM_POST with HTTP 405; a push",
        because="TCP 80 is open and GET passes, but an inspecting proxy between client and management point does not "
        "allow the method CCM_POST.",
        requirements=OPEN,
        result="fails",
        result_without_dissection="works",
        blocked_at="between",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        services=Services(proxy=True),
    ),
    Scene(
        name="mp-client-certificate",
        title="All ports open, but the client has no certificate to show to the management point",
        done="no rules anywhere; the management point asks for a client certificate and the client has none; a push",
        because="The network is fine: the management point ends the TLS handshake for want of a client certificate.",
        requirements=OVER_HTTPS,
        result="fails",
        result_without_dissection="works",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        services=Services(http=None, https=443, client_certificate=True),
        story=partial(push, urls=(HTTPS,)),
    ),
    Scene(
        name="mp-expired-certificate",
        title="All ports open, but the management point's certificate has expired",
        done="no rules anywhere; the client trusts the management point's certificate, which ended 2025-01-01, and "
        "checks it; a push",
        because="The network is fine: the management point's certificate has expired.",
        requirements=OVER_HTTPS,
        result="fails",
        result_without_dissection="works",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        services=Services(http=None, https=443, expired=True),
        story=partial(push, urls=(HTTPS,), trust=Trust.OURS),
    ),
)

MANAGEMENT_POINT_BLOCKED = (
    Scene(
        name="mp-dropped",
        title="HTTP from the client to the management point (TCP 80) dropped by the router",
        done="nft rule on the router: forward tcp dport 80 drop, client to management point; an administrator's ping "
        "of the management point from the client is answered; a push",
        because="Something between client and management point drops HTTP (TCP 80).",
        requirements=OPEN | {"http-management-point": "blocked", "https-management-point": "not-applicable"},
        result="fails",
        blocked_at="between",
        failed=INSTALLER,
        mode="mixed",
        taps=(AT_CLIENT,),
        story=push_after_echo_to_management_point,
        router_rules=(f"{TO_MANAGEMENT_POINT} tcp dport 80 drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="mp-no-answer",
        title="Nothing from the management point: HTTP and HTTPS stay no-response",
        done="nft rule on the router: forward drop, client to management point; a push that tries HTTP, then HTTPS",
        because="The client gets no answer at all from the management point, neither over HTTP nor over HTTPS.",
        requirements=OPEN | {"http-management-point": "no-response", "https-management-point": "no-response"},
        result="fails",
        blocked_at="between",
        failed=INSTALLER,
        taps=(AT_CLIENT,),
        services=Services(http=80, https=443),
        story=partial(push, urls=(HTTP, HTTPS)),
        router_rules=(f"{TO_MANAGEMENT_POINT} drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
    Scene(
        name="mp-http-dropped-https-open",
        title="HTTP to the management point dropped, HTTPS open: one of the two is enough",
        done="nft rule on the router: forward tcp dport 80 drop, client to management point; a push that tries HTTP, "
        "then HTTPS",
        because="HTTP (TCP 80) to the management point is dropped, but HTTPS works and one of them is enough.",
        requirements=OPEN | {"http-management-point": "blocked", "https-management-point": "open"},
        result="works",
        blocked_at="between",
        taps=(AT_CLIENT,),
        services=Services(http=80, https=443),
        story=partial(push, urls=(HTTP, HTTPS)),
        router_rules=(f"{TO_MANAGEMENT_POINT} tcp dport 80 drop",),
        quiet_seconds=AFTER_SILENCE,
    ),
)

LOGGED = (
    Scene(
        name="smb-dropped-and-logged",
        title="SMB (TCP 445) silently dropped by the client's own firewall, which logs it",
        done="nft rules on the client: input tcp dport 445 log, drop; every other new connection log, accept; a push",
        because="The client's own firewall drops SMB (TCP 445): the site server sees only silence.",
        requirements=SMB_BLOCKED,
        result="fails",
        blocked_at="client",
        failed=FILE_COPY,
        client_rules=(f"{SMB} {DROP}", ALLOWED_IN),
        client_outbound_rules=(ALLOWED_OUT,),
        quiet_seconds=AFTER_SILENCE,
        confidence={"smb": "likely"},
        with_log=WithLog(SMB_BLOCKED, "fails", {"smb": "proven"}),
    ),
    Scene(
        name="all-open-and-logged",
        title="A push that works; only the client's log shows that it went to its management point",
        done="nft rules on the client: every new connection log, accept, in and out; a push",
        because="Nothing was blocked and every step of the push succeeded.",
        requirements=NOT_INSTALLED,
        result="unproven",
        client_rules=(ALLOWED_IN,),
        client_outbound_rules=(ALLOWED_OUT,),
        confidence={"http-management-point": ""},
        with_log=WithLog(OPEN | {"http-management-point": "allowed"}, "allowed", {"http-management-point": "proven"}),
    ),
)

INCONCLUSIVE = dict.fromkeys(("icmp-echo", "smb", "rpc-endpoint-mapper", "rpc-dynamic"), "inconclusive")
NOT_ENOUGH = (
    Scene(
        name="outgoing-only",
        title="A push that works, but only what the site server sent was captured",
        done="no rules anywhere; a push; tcpdump kept outgoing packets only",
        because="Only one direction was captured, so whether anything was answered cannot be told.",
        requirements=NOTHING_SEEN | INCONCLUSIVE,
        result="unproven",
        taps=(Tap("site-server", options=("-Q", "out")),),
    ),
    Scene(
        name="ended-after-first-syn",
        title="SMB dropped, but the capture ended right after the first attempt",
        done="nft rule on the router: forward tcp dport 445 drop, site server to client; the capture is ended right "
        "after the first SYN to 445",
        because="The capture ended too early to tell whether SMB (TCP 445) would have been answered.",
        requirements=NOTHING_SEEN | {"icmp-echo": "open", "smb": "inconclusive"},
        result="unproven",
        blocked_at="between",
        story=begin_only,
        router_rules=(f"{TO_CLIENT} {SMB} drop",),
        quiet_seconds=AT_ONCE,
    ),
    Scene(
        name="quiet",
        title="Other hosts' traffic only, no push at all",
        done="no rules anywhere; another host asks the management point for names and pages; nobody pushes",
        because="Nobody tried to install the client while this was captured.",
        requirements=NOTHING_SEEN,
        result="unproven",
        taps=(Tap("router", OTHER_HOST.router_interface),),
        story=other_traffic,
        roles=(SITE_SERVER, CLIENT),
    ),
)

GROUPS = (
    WORKING,
    SILENTLY_DROPPED,
    REJECTED,
    CLIENT_AWAY,
    PROBLEMS,
    ACCOUNT_PROBLEMS,
    SERVICE_PROBLEMS,
    MANAGEMENT_POINT_PROBLEMS,
    MANAGEMENT_POINT_BLOCKED,
    LOGGED,
    NOT_ENOUGH,
)
SCENES = {scene.name: scene for group in GROUPS for scene in group}
