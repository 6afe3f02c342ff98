"""What `--agent TARGET` may be, and what is said of anything else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.worker.job.target import Form, load_target

pytestmark = pytest.mark.unit

AGENTS = """
from __future__ import annotations
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, JobRequest, WorkerOptions
from voicefleet.worker.call import CallContext

server = AgentServer()
empty = AgentServer()
one_agent = Agent(instructions="")
number = 7

def prewarm(proc: JobProcess) -> None: ...
server.setup_fnc = prewarm

async def asked(request: JobRequest) -> None: ...
async def over(ctx: JobContext) -> None: ...

@server.rtc_session(agent_name="desk", on_request=asked, on_session_end=over)
async def session(ctx: JobContext) -> None: ...

async def typed(anything: JobContext): ...
async def untyped(ctx): ...
async def entrypoint(job): ...
async def returns_nothing(it) -> None: ...
def not_async(ctx: JobContext): ...

options = WorkerOptions(entrypoint_fnc=typed, prewarm_fnc=prewarm)

def create(call: CallContext) -> Agent: ...
async def create_later(call: CallContext) -> Agent: ...
async def create_untyped(call): ...
def create_all(call) -> tuple: ...
def takes_nothing(): ...
class Mine(Agent):
    def __init__(self, call): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "its_agents.py").write_text(AGENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "its_agents"
    sys.modules.pop("its_agents", None)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("server", Form.SERVER),
        ("options", Form.SERVER),
        ("typed", Form.ENTRYPOINT),
        ("untyped", Form.ENTRYPOINT),
        ("entrypoint", Form.ENTRYPOINT),
        ("returns_nothing", Form.ENTRYPOINT),
        ("create", Form.FACTORY),
        ("create_later", Form.FACTORY),
        ("create_untyped", Form.FACTORY),
        ("create_all", Form.FACTORY),
        ("Mine", Form.FACTORY),
    ],
)
def test_the_form_is_told_by_what_it_takes(module: str, name: str, form: Form) -> None:
    target = load_target(f"{module}:{name}")
    assert target.form is form
    assert (target.entrypoint is None) is (form is Form.FACTORY)
    assert target.default_tiers == ("local" if form is Form.FACTORY else "own")


def test_an_agent_server_brings_its_session_and_its_hooks(module: str) -> None:
    target = load_target(f"{module}:server")
    found = importlib.import_module(module)
    hooks = (target.entrypoint, target.setup, target.on_request, target.on_session_end)
    assert hooks == (found.session, found.prewarm, found.asked, found.over)


def test_an_entrypoint_is_prepared_by_the_prewarm_beside_it(module: str) -> None:
    found = importlib.import_module(module)
    assert load_target(f"{module}:typed").setup is found.prewarm
    options = load_target(f"{module}:options")
    assert (options.entrypoint, options.setup) == (found.typed, found.prewarm)
    del found.prewarm
    assert load_target(f"{module}:typed").setup is None


def test_a_file_is_a_module_and_its_only_server_needs_no_name(module: str, tmp_path: Path) -> None:
    assert load_target(f"{tmp_path / 'its_agents.py'}:server").form is Form.SERVER
    (tmp_path / "only_one.py").write_text(AGENTS.replace("empty = AgentServer()", ""))
    assert load_target("only_one.py").form is Form.SERVER
    sys.modules.pop("only_one")
    with pytest.raises(ConfigError, match="has no AgentServer"):
        load_target(module)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("", "not of the form"),
        (":server", "not of the form"),
        ("no_such_module:server", "does not import"),
        ("no_such_file.py:server", "does not import"),
        ("its_agents:nothing", "has no nothing"),
        ("its_agents:servr", "Did you mean server?"),
        ("its_agent:server", "Did you mean its_agents?"),
        ("its_agents:empty", "with no session"),
        ("its_agents:one_agent", "is one Agent"),
        ("its_agents:number", "is a int"),
        ("its_agents:not_async", "no `async def`"),
        ("its_agents:takes_nothing", "does not take one argument"),
    ],
)
def test_what_is_no_target_is_refused_with_a_way_out(module: str, target: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        load_target(target)
    assert refused.value.field == "--agent"
    assert refused.value.hint


@pytest.mark.parametrize(
    ("line", "missing", "package"),
    [
        ("import livekit.plugins.nowhere", "livekit.plugins.nowhere", "livekit-plugins-nowhere"),
        ("from livekit.plugins import nowhere", "livekit.plugins.nowhere", "livekit-plugins-nowhere"),
        ("from livekit.plugins import (\n    nowhere,\n)", "livekit.plugins", "livekit-plugins-NAME"),
        ("from nowhere.at import all", "nowhere", "nowhere"),
    ],
)
def test_a_package_that_the_agent_needs_is_named_and_how_to_get_it(
    module: str, tmp_path: Path, line: str, missing: str, package: str
) -> None:
    (tmp_path / "needs_more.py").write_text(f"{line}\n")
    with pytest.raises(MissingPartError, match=f"it needs the module {missing}") as refused:
        load_target("needs_more:create")
    assert f"pip install {package}" in refused.value.hint


def test_an_import_that_fails_otherwise_is_told_as_it_is(module: str, tmp_path: Path) -> None:
    (tmp_path / "wants_more.py").write_text("from livekit.agents import nothing_of_that_name\n")
    with pytest.raises(ConfigError, match="ImportError: cannot import name 'nothing_of_that_name'"):
        load_target("wants_more:create")
