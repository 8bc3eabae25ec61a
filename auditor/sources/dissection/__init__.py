"""Protocols in dissected packets: SMB, RPC, DCOM, TLS, HTTP, and Kerberos as steps that succeeded or failed."""
