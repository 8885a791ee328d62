"""`lt-export web`: a page that runs a model in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from lt_export.commands.arguments import Commands, add_command
from lt_export.terminal import one_line, shown_steps

HOST, PORT = "127.0.0.1", 8000
"""Where the page can be tried: of this machine alone, where browsers allow the camera without https."""


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "web", run, "write a page that runs the model in the browser")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="new or empty, or an earlier page to replace"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page (default: Image classification)")
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        metavar="PATH",
        help=".tgz or folder of the npm package onnxruntime-web (default: npm downloads it)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    from lt_export import write_site
    from lt_export.shell import NO_LINE, shell_line

    with shown_steps():
        site = write_site(
            arguments.model, arguments.out, title=arguments.title, onnxruntime_web=arguments.onnxruntime_web
        )
    server = ["python", "-m", "http.server", str(PORT), "--bind", HOST, "--directory", str(site.folder)]
    print(one_line(f"{'replaced' if site.replaced else 'wrote'} {site.folder} ({site.bytes / 1e6:.1f} MB)"))
    line = shell_line(server)
    print(one_line(f"to try it: {line}" if line else f"to try it, serve the folder (no command here: {NO_LINE})"))
    print(f"and open http://{HOST}:{PORT}")
    return 0
