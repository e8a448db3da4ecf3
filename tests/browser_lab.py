"""JupyterLab or Notebook 7 on a free port and a headless Chromium, for the tests and benchmarks in it."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu", "--disable-sync", "--no-first-run"]
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "recordTiming": False},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
    **lab.JUPYTERLAB,
}
NOTEBOOK = "window.jupyterapp?.shell?.currentWidget"
RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells')"


@contextmanager
def jupyter(folder: Path, scratch: Path, view: str = "lab") -> Iterator[str]:
    """Serve `folder`; gives the address of a file in JupyterLab ("lab") or Notebook 7 ("notebooks"), with its token."""
    for name, values in SETTINGS.items():
        path = scratch / "settings" / f"{name.replace(':', '/')}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    environment = {**os.environ, **{name: str(scratch / name) for name in names}}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(scratch / "settings")
    options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    options += ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--LabApp.expose_app_in_browser=True"]
    options += ["--JupyterNotebookApp.expose_app_in_browser=True"]
    with (scratch / "lab.log").open("w") as log:
        command = [sys.executable, "-m", {"lab": "jupyterlab", "notebooks": "notebook"}[view], str(folder), *options]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status?token={token}")
            yield f"http://127.0.0.1:{port}/{view}/{'tree/' if view == 'lab' else ''}{{}}?reset&token={token}"
        finally:
            server.terminate()
            server.wait(20)


def wait_for(url: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("JupyterLab did not answer")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser page, 1,300 pixels wide."""
    with browser() as started:
        yield started.new_page(viewport={"width": 1300, "height": 1000})


def open_and_run(page: Any, url: str, seconds: float = 240) -> None:
    """Open a notebook and run all its cells; returns when the kernel is idle and the last cell has run."""
    page.goto(url)
    page.wait_for_function(f"() => {NOTEBOOK}?.content?.model?.cells?.length > 0", timeout=90_000)
    page.wait_for_function(f"() => {NOTEBOOK}.sessionContext.session?.kernel?.status === 'idle'", timeout=90_000)
    page.evaluate(f"() => {{ {RUN_ALL}.then(() => {{ window.allRan = true; }}); }}")
    page.wait_for_function("() => window.allRan === true", timeout=1000 * seconds)


def run_cell(page: Any, source: str) -> str:
    """Run a line in the notebook's kernel; gives what it printed."""
    return page.evaluate(
        """source => new Promise((done, failed) => {
          const future = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
            .requestExecute({code: source});
          let printed = '';
          future.onIOPub = message => {
            if (message.header.msg_type === 'stream') printed += message.content.text;
            if (message.header.msg_type === 'error') failed(new Error(message.content.evalue));
          };
          future.done.then(() => done(printed));
        })""",
        source,
    )


def use_theme(page: Any, theme: str) -> None:
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function(
        "dark => document.body.dataset.jpThemeLight === (dark ? 'false' : 'true')", arg="Dark" in theme, timeout=20_000
    )
