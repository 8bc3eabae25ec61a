"""The log of Windows Installer about client.msi: what failed, with which code, and what the package was given."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setup_logs import SERVICE, log, values

from auditor.sources.configmgr.facts import InstallStep, StepOutcome
from auditor.sources.configmgr.msi_log import MsiLog, looks_like_msi_log, read_msi_log

FAILED = StepOutcome.FAILED

MSI_LOG = r"""=== Verbose logging started: 1/17/2023  11:05:42 ===
MSI (c) (F8:4C) [11:05:42:123]: Resetting cached policy values
Action start 11:05:50: CcmRegisterWinTask.
CustomAction CcmRegisterWinTask returned actual error code 1603 (note this may not be 100% accurate)
Action ended 11:05:55: CcmRegisterWinTask. Return value 3.
Action ended 11:05:56: CcmValidate. Return value 1.
Action ended 11:05:57: INSTALL. Return value 3.
MSI (s) (C8:4C) [11:05:58:001]: MainEngineThread is returning 1603
MSI (c) (F8:4C) [11:05:58:123]: Windows Installer installed the product. Installation success or error status: 1603.
Property(S): SMSSITECODE = ABC
Property(S): CCMHTTPPORT = 8080
Property(C): SMSMP = mp.example.com
Property(S): ALLUSERS = 1
=== Verbose logging stopped: 1/17/2023  11:05:58 ===
"""


def read(text: str, encoding: str = "utf-16") -> MsiLog:
    return read_msi_log(io.BytesIO(text.encode(encoding, "replace")))


def test_failures_of_the_package_are_steps():
    found = read(MSI_LOG).steps
    assert [(step.line, step.step, step.outcome, step.code, step.target) for step in found] == [
        (4, InstallStep.MSI, FAILED, 1603, "CcmRegisterWinTask"),
        (5, InstallStep.MSI, FAILED, 3, "CcmRegisterWinTask"),
        (7, InstallStep.MSI, FAILED, 3, "INSTALL"),
        (8, InstallStep.MSI, FAILED, 1603, ""),
        (9, InstallStep.MSI, FAILED, 1603, ""),
    ]


@pytest.mark.parametrize("status", [0, 1641, 3010])
def test_a_package_that_was_installed_is_a_success(status):
    (found,) = read(f"Windows Installer installed it. Installation success or error status: {status}.").steps
    assert (found.outcome, found.code) == (StepOutcome.SUCCEEDED, status)


def test_the_log_of_the_package_is_known_by_its_words():
    assert looks_like_msi_log(MSI_LOG.encode("utf-16"))
    assert looks_like_msi_log(b"MSI (s) (C8:4C) [11:05:58:001]: x")
    assert not looks_like_msi_log(log(*SERVICE).encode())
    assert not looks_like_msi_log(b"")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_log_is_read_in_any_encoding(encoding):
    assert read(MSI_LOG, encoding) == read(MSI_LOG)
    assert read(MSI_LOG).lines == 14


def test_properties_of_the_site_are_facts():
    assert values(read(MSI_LOG).facts) == {
        "site-code": ["ABC"],
        "http-port": ["8080"],
        "management-point": ["mp.example.com"],
    }


@pytest.mark.parametrize(
    "line", ["Return value " * 500_000, "CustomAction x " * 500_000, "Return value 99999999999999."]
)
def test_a_hostile_line_of_the_package_reports_nothing(line):
    assert read(line).steps == ()


@given(st.binary(max_size=500))
def test_any_bytes_can_be_read(noise):
    assert read_msi_log(io.BytesIO(MSI_LOG.encode() + noise)).steps[:5] == read(MSI_LOG).steps
