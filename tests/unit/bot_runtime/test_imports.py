"""What the runtime imports and does not import, each in a new interpreter."""

import subprocess
import sys

HEAVY = ("google.protobuf", "neonize.client", "PIL", "requests", "httpx", "phonenumbers", "bs4", "segno", "rich")


def run(code: str) -> str:
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def loaded(imports: str) -> list[str]:
    return run(f"import sys\n{imports}\nprint(*[name for name in {HEAVY} if name in sys.modules])").split()


def test_the_runtime_itself_loads_nothing_heavy() -> None:
    assert loaded("import bot_runtime.main, bot_runtime.serve") == []


def test_messages_load_only_protobuf() -> None:
    assert loaded("import bot_runtime.whatsapp.encode, bot_runtime.whatsapp.decode") == ["google.protobuf"]


def test_neonize_can_be_imported_completely() -> None:
    code = "import bot_runtime.whatsapp.encode, neonize; print(neonize.NewClient.__module__, neonize.__version__)"
    assert run(code).startswith("neonize.client 0.")


def test_a_missing_dependency_of_neonize_is_named_and_the_import_can_be_retried() -> None:
    code = """
import sys
import bot_runtime.whatsapp.encode, neonize
sys.modules["phonenumbers"] = None
try:
    neonize.NewClient
except ImportError as error:
    print(error.name)
del sys.modules["phonenumbers"]
print(neonize.NewClient.__name__)
"""
    assert run(code).split() == ["phonenumbers", "NewClient"]


def test_protobuf_uses_its_fast_implementation() -> None:
    code = """
import bot_runtime.whatsapp.encode
from google.protobuf.internal.api_implementation import Type
print(Type())
"""
    assert run(code) == "upb"
