"""`lt-export web`: a page that runs a model in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from lt_export.commands.arguments import Commands, add_command


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "web", run, "write a page that runs the model in the browser")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the page's files go")
    parser.add_argument("--title", metavar="TEXT", help="of the page")
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        metavar="PATH",
        help=".tgz or folder of the npm package onnxruntime-web (default: npm downloads it)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    from lt_export import write_site

    site = write_site(arguments.model, arguments.out, title=arguments.title, onnxruntime_web=arguments.onnxruntime_web)
    print(f"wrote {site.folder} ({site.bytes / 1e6:.1f} MB); try it: python -m http.server --directory {site.folder}")
    return 0
