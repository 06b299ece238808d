"""An SMTP server for tests: python3 server.py MODE CERT KEY, where MODE is plain, starttls or tls.

It prints its port, and then each mail that it takes as a line of JSON. Recipients whose addresses begin with reject are refused for good, with later for
now; with drop the connection ends once the mail has come; with slow nothing is answered any more.
"""
import asyncio, json, ssl, sys, threading
from aiosmtpd.smtp import SMTP, AuthResult

mode, cert, key = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("reject"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("later"):
            return "451 4.3.0 not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "rcpt": envelope.rcpt_tos, "tls": session.ssl is not None or mode == "tls",
                          "user": bool(session.authenticated), "data": envelope.content.decode("utf-8", "replace")}), flush=True)
        if any(a.startswith("drop") for a in envelope.rcpt_tos):
            server.transport.abort()
        if any(a.startswith("slow") for a in envelope.rcpt_tos):
            await asyncio.sleep(3600)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = getattr(data, "login", None) == b"ann" and getattr(data, "password", None) == b"hunter2-canary"
    return AuthResult(success=good, handled=False)


def make():
    return SMTP(Handler(), hostname="localhost", tls_context=context if mode == "starttls" else None, require_starttls=mode == "starttls",
                authenticator=authenticate, auth_require_tls=mode != "tls", enable_SMTPUTF8=True)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the test ends


asyncio.run(main())
