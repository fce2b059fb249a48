"""A mailbox for aiosmtpd: writes every mail to a directory, and fails as the recipient's name says.

nobody…  550, always         busy…  451 the first two times        lost…  takes the mail, then breaks off without an answer, once
"""
import pathlib
from collections import Counter


class Mailbox:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.seen = Counter()
        self.count = 0

    @classmethod
    def from_cli(cls, parser, *args):
        return cls(args[0])

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.seen[address] += 1
        if address.startswith("nobody"):
            return "550 5.1.1 there is no such mailbox"
        if address.startswith("busy") and self.seen[address] <= 2:
            return "451 4.7.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = f"{self.count:04}-{envelope.rcpt_tos[0]}"
        head = f"X-Test-Tls: {session.ssl is not None}\r\n".encode()
        unfinished = self.directory / ("." + name)
        unfinished.write_bytes(head + envelope.original_content)
        unfinished.rename(self.directory / (name + ".eml"))
        if envelope.rcpt_tos[0].startswith("lost") and self.seen[envelope.rcpt_tos[0]] == 1:
            server.transport.abort()
        return "250 OK"
