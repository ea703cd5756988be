"""Console: an operator's way to a worker: orders under a token, and the status page as a browser shows it."""

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import yaml

from detector.admin.tokens import new_token
from detector.errors import Fatal

NAME: Final = "rehearsal"
ANSWER_S: Final = 30.0
PAINT_S: Final = 120.0
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


class Console:
    """One operator."""

    def __init__(self, tokens: Path) -> None:
        """The file of tokens is written, and knows this operator alone."""
        self._token, digest = new_token()
        line = {"name": NAME, "role": "operator", "sha256": digest}
        tokens.write_text(yaml.safe_dump([line]), encoding="utf-8")

    def order(self, url: str, path: str, body: Mapping[str, str]) -> str:
        """An order is stored; returns its id. `Fatal` where it is refused."""
        request = Request(f"{url}{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {self._token}")
        told: dict[str, Any] = json.loads(self._ask(request))
        return str(told["id"])

    def page(self, url: str) -> str:
        """The status page."""
        request = Request(f"{url}/")
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{NAME}:{self._token}".encode()).decode())
        return self._ask(request).decode()

    def picture(self, url: str, path: Path) -> Path:
        """The page as a headless Chromium paints it stands in `path`; without one, its HTML beside. Returns which."""
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is not None and _paint(browser, url.replace("://", f"://{NAME}:{self._token}@"), path):
            return path
        page = path.with_suffix(".html")
        page.write_text(self.page(url), encoding="utf-8")
        return page

    @staticmethod
    def _ask(request: Request) -> bytes:
        try:
            with urlopen(request, timeout=ANSWER_S) as answer:
                content: bytes = answer.read()
                return content
        except OSError as error:
            words = error.read().decode() if hasattr(error, "read") else ""
            raise Fatal(f"{request.get_method()} {request.selector}: {error} {words}") from error


def _paint(browser: str, url: str, path: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="browser-") as profile:
        argv = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--incognito"]
        argv += [f"--user-data-dir={profile}", "--window-size=1300,1500", f"--screenshot={path.resolve()}", f"{url}/"]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=PAINT_S, check=False)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0 and path.exists()
