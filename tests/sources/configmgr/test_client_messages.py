"""Messages of the programs of a client: each row of their table, and what it reports."""

from __future__ import annotations

import pytest
from setup_logs import record, steps

from auditor.sources.configmgr.client_messages import MESSAGES, read_message
from auditor.sources.configmgr.facts import LogRecord

# A component, then each of its messages with what it reports; "\\n" is a line end.
EXAMPLES = r"""
# ccmsetup
[CCMHTTP] ERROR: URL=https://mp/ccm_system/request, Port=0, Options=63, Code=0, Text=CCM_E_NO_CLIENT_PKI_CERT
    -> certificate failed code=0x87d00454 port=0 target=https://mp/ccm_system/request
[CCMHTTP] ERROR: URL=http://mp/ccm_system/request, Port=80, Options=480, Code=12029, Text=ERROR_WINHTTP_CANNOT_CONNECT
    -> http-request failed code=12029 port=80 target=http://mp/ccm_system/request
[CCMHTTP] ERROR: URL=https://mp/ccm_system/request, Port=443, Options=63, Code=12175, Text=ERROR_WINHTTP_SECURE_FAILURE
    -> tls failed code=12175 port=443 target=https://mp/ccm_system/request
[CCMHTTP] ERROR: URL=https://cmg.example.com/STS, Port=443, Options=31, Code=0, Text=CCM_E_BAD_HTTP_STATUS_CODE
    -> http-request failed code=0x87d0027e port=443 target=https://cmg.example.com/STS
CCM_POST 'HTTP://server.dmz/ccm_system/request'
    -> http-request neutral target=HTTP://server.dmz/ccm_system/request
Unable to find any Certificate based on Certificate Issuers
    -> certificate failed
Failed to get client certificate for transportation. Error 0x87d00215
    -> certificate failed code=0x87d00215
Client is not allowed to use or doesn't have PKI cert while talking to HTTPS server
    -> certificate failed
MP 'mp.example.com' is not compatible
    -> active-directory failed target=mp.example.com
Couldn't find an MP source through AD. Error 0x80004005
    -> active-directory failed code=0x80004005
Failed to get site version from AD with error 0x80004005
    -> active-directory failed code=0x80004005
Retrieved 0 MP records from AD for site 'VR'
    -> active-directory failed
Retrieved 2 MP records from AD for site 'VR'
    -> active-directory succeeded
Failed (0x80072ee7) to send location request to 'mp'. StatusCode 0, StatusText ''
    -> location-request failed code=0x80072ee7 target=mp
Failed (0x87d0027e) to send location request to 'mp'. StatusCode 403, StatusText 'Forbidden'
    -> location-request failed code=0x87d0027e status=403 target=mp
GetDPLocations failed with error 0x80072efd
    -> location-request failed code=0x80072efd
Failed to get DP locations as the expected version from MP 'http://mp'. Error 0x80072efd
    -> location-request failed code=0x80072efd target=http://mp
Have already tried all MPs. Couldn't find DP locations.
    -> location-request failed
Failed to send HTTP Request (Error at WinHttpSendRequest: 12007)
    -> http-request failed code=12007
Failed to correctly receive a WEBDAV HTTP request.. (StatusCode at WinHttpQueryHeaders: 401) and StatusText: ''
    -> http-request failed status=401
Failed to correctly receive a WEBDAV HTTPS request.. (StatusCode at WinHttpQueryHeaders: 0) and StatusText: ''
    -> http-request failed
Failed to check url http://dp/SMS_DP_SMSPKG$/P. Error 0x80004005
    -> download failed code=0x80004005 target=http://dp/SMS_DP_SMSPKG$/P
Enumerated all 1 DP locations but none of them is good. Fallback to MP.
    -> download failed
Failed to download from DP 'http://dp/P', error 0x80080005.
    -> download failed code=0x80080005 target=http://dp/P
DownloadFileByWinHTTP failed with a non-recoverable failure, 0x87d00454
    -> download failed code=0x87d00454
Downloading 'http://mp/CCM_Client/ccmsetup.cab' to 'C:\WINDOWS\ccmsetup.cab'
    -> download neutral target=http://mp/CCM_Client/ccmsetup.cab
Downloading \\srv\share\client.msi to C:\WINDOWS\client.msi
    -> download neutral target=\\srv\share\client.msi
Using DP location http://dp/SMS_DP_SMSPKG$/P
    -> download neutral target=http://dp/SMS_DP_SMSPKG$/P
Failed to download files through BITS. Error: 0x80190194, Description HTTP status 404
    -> bits failed code=0x80190194 status=404
Failed to download files through BITS. Error: 0x801901F4, Description
    -> bits failed code=0x801901f4 status=500
Failed to download files through BITS. Error: 0x80200024, Description
    -> bits failed code=0x80200024
This computer does not contain the correct version of BITS
    -> bits failed
File C:\WINDOWS\ccmsetup\client.msi installation failed. Error text: ExitCode: 1603\nAction:
    -> msi failed code=1603 target=C:\WINDOWS\ccmsetup\client.msi
MSI: Setup failed due to unexpected circumstances\nThe error code is 80004005
    -> msi failed code=0x80004005
File 'C:\windows\ccmsetup\vcredist_x86.exe' returned failure exit code 1603. Fail the installation.
    -> msi failed code=1603 target=C:\windows\ccmsetup\vcredist_x86.exe
Setup was unable to create the WMI namespace CCM\nThe error code is 80041002
    -> msi failed code=0x80041002
CreateInstance of CLSID_BackgroundCopyManager failed with 8007042C. Unable to check BITS version
    -> bits failed code=0x8007042c
GetADInstallParams failed with 0x80004005
    -> active-directory failed code=0x80004005
No valid source or MP locations
    -> location-request failed
Sending Fallback Status Point message, STATEID='321'.
    -> fallback-status neutral code=321
A Fallback Status Point has not been specified.  Message with STATEID='100' will not be sent.
    -> fallback-status skipped code=100
Sending state '308'...
    -> fallback-status neutral code=308
Next retry in 10 minute(s)...
    -> retry neutral
Failed to create the ccmsetup service (5)
    -> start failed code=5
Another instance of ccmsetup is already running.
    -> start skipped
Performing AD query: '(&(ObjectCategory=mSSMSManagementPoint)(mSSMSSiteCode=VR))'
    -> active-directory neutral
The MP name retrieved is 'mp.example.com' with version '9096' and capabilities ''
    -> active-directory succeeded target=mp.example.com
Unexpected row count (0) retrieved from AD.
    -> active-directory failed
Successfully refresh bootstrap information from AD.
    -> active-directory succeeded
Begin searching client certificates based on Certificate Issuers
    -> certificate neutral
Client selected the PKI Certificate [Thumbprint A7] issued to 'HOST1'
    -> certificate succeeded
Failed to get CCM access token and client doesn't have PKI issued cert to use SSL. Error 0x80070002
    -> certificate failed code=0x80070002
There are no certificate(s) that meet the criteria.
    -> certificate failed
RetrieveTokenFromStsServerImpl failed with error 0x87d0027e
    -> http-request failed code=0x87d0027e
Server failed to process message and returned status code 404
    -> http-request failed status=404
[CCMHTTP] ERROR INFO: StatusCode=401 StatusText=CMGService_Invalid_Token
    -> http-request failed status=401
Got 401 challenge Retrying with Windows Auth...
    -> http-request neutral status=401
Received header '<Msg SchemaVersion="1.1">\n<ID>{82DBA020}</ID></Msg>'
    -> http-request succeeded
Failed to send location message to 'HTTPS://mp.example.com'. Status text ''
    -> location-request failed target=HTTPS://mp.example.com
Failed to find DP locations from MP 'http://mp' with error 0x87d00454, status code 200. Check next MP.
    -> location-request failed code=0x87d00454 status=200 target=http://mp
Failed to get DP locations
    -> location-request failed
Sending location request to 'mp' with payload '<ContentLocationRequest/>'
    -> location-request neutral target=mp
Retrived site info '<SiteInfoReply SchemaVersion="1.00"></SiteInfoReply>' from MP 'mp'
    -> location-request succeeded
Retrived site version '5.00.8692.1000' from MP 'mp'.
    -> location-request succeeded target=mp
BITS job creation failed with 80200014. Unable to check BITS version
    -> bits failed code=0x80200014
Failed to download client files by BITS. Error 0x80190194
    -> bits failed code=0x80190194 status=404
Adding file 'HTTP://mp:80/CCM_Client/x64/client.msi' to BITS job, saving as 'C:\client.msi'.
    -> bits neutral target=HTTP://mp:80/CCM_Client/x64/client.msi
Starting BITS download for client deployment files.
    -> bits neutral
Successfully downloaded client files via BITS.
    -> download succeeded
Download complete.
    -> download succeeded
Failed to get directory list from 'https://cmg/x'. Error 0x87d00454
    -> download failed code=0x87d00454 target=https://cmg/x
GetDirectoryList failed with a non-recoverable failure, 0x87d00454
    -> download failed code=0x87d00454
Source \\srv\share is inaccessible (53)
    -> download failed code=53 target=\\srv\share
Failed to find accessible source. Waiting for retry.
    -> download failed
Failed to download the manifest. Error 0x80072ee2
    -> download failed code=0x80072ee2
Failed to download manifest file
    -> download failed
Sending Fallback Status Point message to 'fsp', STATEID='100'.
    -> fallback-status neutral code=100 target=fsp
State message with TopicType 800 and TopicId {5C983706} has been sent to the FSP
    -> fallback-status succeeded
Failed to send state message to the FSP, error 0x80072ee2
    -> fallback-status failed code=0x80072ee2
Installation failed with error code 1612
    -> msi failed code=1612
Installation succeeded. Windows Installer has requested a reboot.
    -> msi succeeded
Uninstall of product '{8FB06CAC}' succeeded.
    -> msi succeeded
Module C:\Windows\CCM\StatusAgentProxy.dll failed to register. HRESULT -2147024770
    -> msi failed code=0x8007007e
Service 'SMS Agent Host' (CcmExec) failed to start.  Verify that you have sufficient privileges.
    -> msi failed
'Configuration Manager Client Retry Task' is scheduled to run at 01/17/2023 04:15:43 PM (local)
    -> retry neutral
==========[ ccmsetup started in process 2040 ]==========
    -> start neutral
Successfully started the ccmsetup service
    -> start succeeded
CcmSetup failed with error code 0x87d00454
    -> exit failed code=0x87d00454
CcmSetup is exiting with return code 7
    -> exit skipped code=7
[CCMHTTP] AsyncCallback(): WINHTTP_CALLBACK_STATUS_SECURE_FAILURE Encountered
    -> tls failed
[CCMHTTP] : lpvStatusInformation is 0x9
    -> tls failed code=9
[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID is set
    -> tls failed code=16
# CcmMessaging
Post to http://mp.example.com/ccm_system/request failed with 0x87d00231.
    -> http-request failed code=0x87d00231 target=http://mp.example.com/ccm_system/request
Failed in WinHttpReceiveResponse API, ErrorCode = 0x2f78
    -> http-request failed code=0x2f78
Failed in WinHttpSendRequest API, ErrorCode = 0x2f8f
    -> tls failed code=0x2f8f
Failed in WinHttpSendRequest API, ErrorCode = 0x80072f8f
    -> tls failed code=0x80072f8f
Failed in WinHttpSendRequest API, ErrorCode = 0x80072efd
    -> http-request failed code=0x80072efd
# LocationServices
Failed to refresh Site Signing Certificate over HTTP with error 0x87d0027e.
    -> http-request failed code=0x87d0027e
LSUpdateInternetManagementPoints: Failed to retrieve internet MPs from MP mp.example.com with error 0x87d00231
    -> http-request failed code=0x87d00231
Failed to send management point list Location Request Message to mp.example.com
    -> location-request failed target=mp.example.com
Calling back with empty distribution points list
    -> location-request failed
# ClientIDManagerStartup
[RegTask] - Client is registered. Exiting.
    -> registration neutral
[RegTask] - Failed to refresh the registration
    -> registration failed
Failed to renew registration. Error 0x87d00231
    -> registration failed code=0x87d00231
Failed to validate the trusted root key. Error 0x87d00309
    -> certificate failed code=0x87d00309
[RegTask] - Client is not registered. Sending registration request for GUID:1 ...
    -> registration neutral
[RegTask] - Client is registered. Server assigned ClientID is GUID:1. Approval status 3
    -> registration succeeded
[RegTask] - Server rejected registration 3
    -> registration failed code=3
RegTask: Failed to send registration request message. Error: 0x87d00231
    -> registration failed code=0x87d00231
RegTask: Failed to get certificate. Error: 0x80004005
    -> certificate failed code=0x80004005
Failed to find the certificate in the store, retry 1.
    -> certificate failed
# DataTransferService
CTransientError: BITS transient error: 0x80072ee2
    -> bits failed code=0x80072ee2
Failed to send request to /SMS_DP_SMSPKG$/P1 at host dp.example.com, error 0x2efd
    -> http-request failed code=0x2efd target=dp.example.com
Error sending DAV request. HTTP code 600, status ''
    -> http-request failed
Error sending DAV request. HTTP code 403, status 'Forbidden'
    -> http-request failed status=403
GetDirectoryList_HTTP mapping original error 0x80072efd to 0x800704cf.
    -> http-request failed code=0x80072efd
GetDirectoryList_HTTP('http://dp.example.com:80/SMS_DP_SMSPKG$/P1') failed with code 0x800704cf.
    -> download failed code=0x800704cf target=http://dp.example.com:80/SMS_DP_SMSPKG$/P1
Error retrieving manifest (0x800704cf).  Will attempt retry 140 in 3600 seconds.
    -> download failed code=0x800704cf
DTSJob {B45955B6} created to download from 'http://mp.example.com:80/SMS_MP' to 'C:\Windows\CCM\Temp'.
    -> bits neutral target=http://mp.example.com:80/SMS_MP
DTSJob {B45955B6} successfully completed download.
    -> bits succeeded
DTSJob {B45955B6} BITS job {1} failed to download source file http://dp/x with error 0x801901F4
    -> bits failed code=0x801901f4 status=500
"""


def examples():
    component = ""
    lines = iter(EXAMPLES.strip().splitlines())
    for text in lines:
        if text.startswith("# "):
            component = text[2:]
            continue
        _, kind, outcome, *named = next(lines).split()
        fields = dict(name.split("=", 1) for name in named)
        yield pytest.param(component, text.replace("\\n", "\n"), kind, outcome, fields, id=text[:40])


@pytest.mark.parametrize(("component", "text", "kind", "outcome", "named"), list(examples()))
def test_a_message_reports_its_step(component, text, kind, outcome, named):
    (found,) = steps(record(text, component))
    shown = {"code": found.code, "status": found.status, "port": found.port, "target": found.target or None}
    expected = {name: value if name == "target" else int(value, 0) for name, value in named.items()}
    assert (found.step, found.outcome) == (kind, outcome)
    assert {name: value for name, value in shown.items() if value is not None} == expected


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: f"{message.step}: {message.pattern.pattern[:40]}")
def test_every_row_has_an_example_that_no_row_before_it_recognizes(message):
    texts = [example.values[1] for example in examples()]
    first = [next((row for row in MESSAGES if row.pattern.match(text)), None) for text in texts]
    assert message in first


def test_the_text_of_a_step_is_one_short_line():
    found = read_message(LogRecord(1, 3, None, False, "ccmsetup", 0, 3, "Failed to download\r\n  it\n" + "x" * 9999))
    assert found.text.startswith("Failed to download it xxx")
    assert len(found.text) == 500
