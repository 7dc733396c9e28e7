"""A copy of the installed neonize with the simulator's root key, as a folder for PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

from whatsapp_simulator import keys, patch, tokens


def patched_neonize(folder: Path) -> Path:
    """Create a folder for PYTHONPATH with a neonize that trusts the simulator: links, and a patched library."""
    library = tokens.installed_library()
    if library is None:
        raise RuntimeError("neonize is not installed in this environment")
    package = folder / "neonize"
    package.mkdir(parents=True, exist_ok=True)
    for source in library.parent.iterdir():
        if source.name not in (library.name, "__pycache__"):
            (package / source.name).symlink_to(source)
    patch.patch_library(library, package / library.name, keys.noise_root().public)
    return folder


def client_environment(folder: Path, proxy_port: int) -> dict[str, str]:
    """The environment variables for a client process of a simulator on this machine; files are written to `folder`."""
    keys.write_public(folder / "keys")
    path = folder / "path"
    if not path.exists():
        patched_neonize(path)
    return {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}",
        "SSL_CERT_FILE": str(folder / "keys" / "ca.pem"),
        "PYTHONPATH": str(path),
        "NO_PROXY": "",
        "no_proxy": "",
    }
