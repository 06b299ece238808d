"""A plugin of pytest: what the reference's own tests ask of its server in memory goes to the server at TASKGROVE_URL."""
import os

import httpx
import starlette.testclient

SERVER = httpx.URL(os.environ["TASKGROVE_URL"])


class Client(httpx.Client):
    """Stands for starlette's TestClient."""

    def __init__(self, app, **_):
        super().__init__(base_url=SERVER, timeout=60)


class Transport(httpx.AsyncHTTPTransport):
    """Stands for httpx's ASGITransport, whatever host a request names."""

    def __init__(self, app, **_):
        super().__init__()

    async def handle_async_request(self, request):
        request.url = request.url.copy_with(scheme=SERVER.scheme, host=SERVER.host, port=SERVER.port)
        request.headers["host"] = f"{SERVER.host}:{SERVER.port}"
        return await super().handle_async_request(request)


starlette.testclient.TestClient = Client
httpx.ASGITransport = Transport
