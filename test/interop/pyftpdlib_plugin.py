"""Turns pyftpdlib's functional tests (a checkout of its sources) on our FTPS door; a plug-in of pytest.

Its tests start a server in their own process and look at its texts and its files. Here they get a server that runs already,
a client that speaks TLS and begins in /Inbox, and replies are compared by their code alone.
"""
import ftplib
import os
import ssl

import pytest

host, port = "127.0.0.1", int(os.environ["FTPS_PORT"])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


class Server:
    def __init__(self, addr=None):
        self.host, self.port = host, port

    start = stop = lambda self: None


class Client(ftplib.FTP_TLS):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, context=context, **{**kwargs, "timeout": 20})

    def connect(self, *args, **kwargs):
        super().connect(*args, **kwargs)
        return self.auth()

    def login(self, *args, **kwargs):
        answer = super().login(*args, **kwargs)
        self.prot_p()
        self.cwd("/Inbox")
        return answer


def raises(kind, match=None, **kwargs):
    return plain_raises(kind, match=match[:3] if match and match[:3].isdigit() else match, **kwargs)


plain_raises, pytest.raises = pytest.raises, raises


def pytest_collection_modifyitems(items):
    for item in items:
        item.cls.server_class, item.cls.client_class = Server, Client
