"""Debian's Firefox for Playwright: a program that starts it, and stands between the two on WebDriver BiDi.

Playwright asks for emulations, such as of dark colors, that an older Firefox does not know. It gives up then; here they
count as done. Downloads get the name by which Playwright tells them apart. Everything else passes as it is. Playwright
starts this program in place of Firefox (`script`).
"""

import asyncio
import json
import re
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
_LISTENING = re.compile(r"WebDriver BiDi listening on ws://127\.0\.0\.1:(\d+)")
_MOST = 256 * 2**20  # bytes of a message: files and screenshots are in them


def script(folder: Path) -> Path:
    """Write an executable that starts this program."""
    path, root = folder / "firefox", Path(__file__).parents[2]
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m tests.web.firefox "$@"\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return path


async def _between(request: web.Request) -> web.WebSocketResponse:
    """Pass messages on in both directions; a command for an emulation that Firefox does not know is done."""
    ours = web.WebSocketResponse(max_msg_size=_MOST)
    await ours.prepare(request)
    lenient: set[int] = set()
    downloads = 0  # one after the other
    async with aiohttp.ClientSession() as session:
        address = f"ws://127.0.0.1:{request.app['port']}{request.path}"
        async with session.ws_connect(address, max_msg_size=_MOST) as theirs:

            async def there() -> None:
                async for message in ours:
                    asked = json.loads(message.data)
                    if asked["method"].startswith("emulation."):
                        lenient.add(asked["id"])
                    await theirs.send_str(message.data)
                await theirs.close()

            task = asyncio.ensure_future(there())
            async for message in theirs:
                answer = json.loads(message.data)
                if answer.get("method") in ("browsingContext.downloadWillBegin", "browsingContext.downloadEnd"):
                    downloads += answer["method"].endswith("WillBegin")
                    answer["params"].setdefault("download", f"download-{downloads}")
                    await ours.send_json(answer)
                    continue
                if answer.get("id") in lenient and answer.get("error") == "unknown command":
                    await ours.send_json({"type": "success", "id": answer["id"], "result": {}})
                else:
                    await ours.send_str(message.data)
            task.cancel()
    await ours.close()
    return ours


async def _main() -> int:
    firefox = await asyncio.create_subprocess_exec(str(FIREFOX), *sys.argv[1:], stderr=asyncio.subprocess.PIPE)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, firefox.terminate)
    app = web.Application()
    app.router.add_get("/{path:.*}", _between)
    runner = web.AppRunner(app)
    await runner.setup()
    assert firefox.stderr is not None
    try:
        async for line in firefox.stderr:
            text = line.decode(errors="replace")
            if found := _LISTENING.search(text):
                app["port"] = found[1]
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                text = text.replace(f":{found[1]}", f":{site._server.sockets[0].getsockname()[1]}")  # type: ignore[union-attr]
            sys.stderr.write(text)
            sys.stderr.flush()
        return await firefox.wait()
    finally:
        with suppress(ProcessLookupError):
            firefox.kill()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
