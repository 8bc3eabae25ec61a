"""Ask a service controller for a service: over TCP and, if that fails, through its pipe, as Windows does.

Runs with Debian's own Python, which has Samba's modules.
"""

from __future__ import annotations

import optparse  # Samba's options are made for it
import sys

from samba import NTSTATUSError, WERRORError  # type: ignore[import-not-found]
from samba.dcerpc import svcctl  # type: ignore[import-not-found]
from samba.getopt import CredentialsOptions, SambaOptions  # type: ignore[import-not-found]

SERVICE = "RemoteRegistry"
MAY_CONNECT, MAY_CREATE, MAY_QUERY_STATUS = 0x0001, 0x0002, 0x0004
BINDINGS = ("ncacn_ip_tcp:{host}[sign]", r"ncacn_np:{host}[\pipe\svcctl,sign]")


def main() -> int:
    """Ask over one transport after the other until there is an answer; 1 if there is none."""
    parser = optparse.OptionParser("%prog [options] HOST")
    samba, account = SambaOptions(parser), CredentialsOptions(parser)
    parser.add_option_group(samba)
    parser.add_option_group(account)
    parser.add_option("--create", action="store_true", help="open it with the right to create a service")
    options, (host,) = parser.parse_args()
    rights = MAY_CONNECT | (MAY_CREATE if options.create else 0)
    settings = samba.get_loadparm()
    for binding in (binding.format(host=host) for binding in BINDINGS):
        try:
            controller = svcctl.svcctl(binding, settings, account.get_credentials(settings))
            manager = controller.OpenSCManagerW(host, None, rights)
            service = controller.OpenServiceW(manager, SERVICE, MAY_QUERY_STATUS)
            print(f"{binding}: {SERVICE} is in state {controller.QueryServiceStatus(service).state}")
        except (NTSTATUSError, WERRORError) as error:
            print(f"{binding}: {error}")
        else:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
