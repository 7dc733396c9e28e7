"""The command line: `python -m whatsapp_simulator serve | keys | patch | tokens`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from whatsapp_simulator import patch
from whatsapp_simulator.tokens import TokenError

_DESCRIPTION = "A simulated WhatsApp network for tests and demos. Its keys are published test keys."


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
    except (patch.PatchError, TokenError, OSError, RuntimeError) as exc:
        print(f"whatsapp_simulator: {exc}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m whatsapp_simulator", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="run the network",
        description="Run the network. Clients connect through the proxy port (HTTPS_PROXY=http://HOST:PORT, "
        "SSL_CERT_FILE=ca.pem and a patched library). People and tests use the control API, documented at /docs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve.add_argument("--host", default="0.0.0.0", help="address to listen on")
    serve.add_argument("--proxy-port", type=int, default=8443, help="proxy port for clients; 0: any free port")
    serve.add_argument("--control-port", type=int, default=8090, help="port of the control API; 0: any free port")
    serve.add_argument("--state-file", type=Path, help="store accounts, devices, sessions and messages in this file")
    serve.add_argument("--tokens", type=Path, help="token tables; without it: tokens.json in the package or neonize")
    serve.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"], help="log level")
    serve.set_defaults(command=_serve)

    keys = commands.add_parser("keys", help="write ca.pem and noise-root.bin (identical on every machine)")
    keys.add_argument("--out", type=Path, required=True, help="folder to write them to")
    keys.set_defaults(command=_keys)

    patched = commands.add_parser("patch", help="copy a neonize library and insert the simulator's root key")
    patch.add_arguments(patched, key_required=False)
    patched.set_defaults(command=_patch)

    tokens = commands.add_parser("tokens", help="extract the token tables from a neonize library")
    tokens.add_argument("--library", type=Path, required=True, help="the neonize shared library (neonize-linux-*.so)")
    tokens.add_argument("--out", type=Path, required=True, help="JSON file to write")
    tokens.set_defaults(command=_tokens)
    return parser


# Each command imports what it needs: an image build that only patches a library does not have FastAPI.


def _serve(arguments: argparse.Namespace) -> None:
    from whatsapp_simulator import serve, tokens

    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("websockets").setLevel(logging.WARNING)
    tables = tokens.load(arguments.tokens) if arguments.tokens else tokens.default()
    options = serve.Options(arguments.host, arguments.proxy_port, arguments.control_port, arguments.state_file)
    asyncio.run(serve.run(options, tables))


def _keys(arguments: argparse.Namespace) -> None:
    from whatsapp_simulator import keys

    keys.write_public(arguments.out)


def _patch(arguments: argparse.Namespace) -> None:
    if arguments.key:
        key = arguments.key.read_bytes()
    else:
        from whatsapp_simulator import keys

        key = keys.noise_root().public
    patch.patch_library(arguments.library, arguments.out, key)


def _tokens(arguments: argparse.Namespace) -> None:
    from whatsapp_simulator import tokens

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(tokens.extract(arguments.library).to_json())


if __name__ == "__main__":
    sys.exit(main())
