"""The Claude Code runtime: the bundled CLI in a sandbox, driven by the Claude Agent SDK."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import claude_agent_sdk
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ClaudeSDKError, SessionStore

from runtimes import claude_code_sandbox as sandbox
from runtimes import claude_code_wire as wire
from runtimes.base import BaseRuntime
from runtimes.claude_code_directory import private_directory, sweep
from runtimes.claude_code_options import GO_ON, Settings, environment, flags
from runtimes.claude_code_process import CliProcess
from runtimes.claude_code_relay import ModelRelay
from runtimes.claude_code_store import TranscriptStore
from runtimes.claude_code_tools import Calls, Ending
from runtimes.claude_code_transcript import Start, resumed, said_by
from runtimes.claude_code_turn import ClaudeTurn, until_ending
from runtimes.errors import RuntimeCrashed
from runtimes.manifests.claude_code import CLAUDE_CODE
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.sandbox.command_line import Room
from runtimes.sandbox.process import undisturbed
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, ToolResult

_CLI = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
_TRANSCRIPT = f"{sandbox.HOME}/.claude/projects/{{project}}/{{session}}.jsonl"


class Machine:
    """What the runtimes of a process share: that the sandbox was seen to start here."""

    def __init__(self) -> None:
        self._checked = False

    async def check(self) -> None:
        """Start the sandbox once in a process, and remove what processes that were killed have left.

        Raises:
            SandboxUnavailable: it does not start.
        """
        if not self._checked:
            await sandbox.check()
            await asyncio.to_thread(sweep)
            self._checked = True

    async def close(self) -> None:
        """Nothing is held."""


class ClaudeCodeRuntime(BaseRuntime):
    """One turn in a CLI process of its own; a turn that was interrupted goes on from its transcript.

    Settings in `runtime_config`: `max_turns`, `tool_call_limit`, `max_budget_usd`, `permission_mode`, `agents`,
    `network`, `cwd`, `context_window`.
    """

    manifest: ClassVar[RuntimeManifest] = CLAUDE_CODE

    @classmethod
    def share(cls) -> Machine:
        """One look at the machine for all turns."""
        return Machine()

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        settings = Settings.of(context)
        await (self._shared or Machine()).check()
        session = Session(context, settings)
        start = await session.begin()
        turn = ClaudeTurn(context, session.calls, start)
        for event in turn.resumed():
            yield event
        try:
            async with session.running(start) as client, aclosing(_events(client, session, turn)) as events:
                async for event in events:
                    yield event
        except ClaudeSDKError as error:
            raise RuntimeCrashed(f"Claude Code ended: {error}"[:500]) from error


class Session:
    """The CLI of one attempt, and what stands between it and the world."""

    def __init__(self, context: RuntimeExecutionContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._ready = asyncio.Event()
        self._start = Start("", [])
        self.ending = Ending()
        recorded: dict[str, ToolResult] = {}
        self._store = TranscriptStore(context.store, self.ending, recorded)
        structured = context.output_schema is not None
        self._relay = ModelRelay(context.model, self._review, self._failed, structured=structured)
        self.calls = Calls(
            context.tools,
            context.own_tools,
            self._store.note,
            self._relay.settled,
            self.ending,
            settings.tool_call_limit,
            recorded,
        )

    async def begin(self) -> Start:
        """Find out where to begin."""
        stored, begun = await self._store.stored() if self._context.attempt > 1 else ([], {})
        self._start = await resumed(self._context, stored, begun, self._context.own_tools)
        self.calls.resume(self._start.claimed, self._start.recorded)
        await self._store.begin(self._start, stored)
        return self._start

    @asynccontextmanager
    async def running(self, start: Start) -> AsyncGenerator[ClaudeSDKClient]:
        """The CLI, started and at work; all of its processes are gone when this is left."""
        place = ExitStack()
        socket = place.enter_context(private_directory()) / "model.sock"
        process = CliProcess(*self._command(start, socket))
        client = ClaudeSDKClient(self._options(), transport=process)
        try:
            async with self._relay.serving(socket):
                try:
                    await client.connect()
                    place.close()
                    self._ready.set()
                    if not start.resumed:
                        await client.query(self._context.prompt)
                    yield client
                finally:
                    process.kill()
                    await undisturbed(self._end(client))
        finally:
            self.ending.close()
            place.close()

    async def _end(self, client: ClaudeSDKClient) -> None:
        await self.calls.close()
        with suppress(ClaudeSDKError):
            await client.disconnect()

    def _command(self, start: Start, socket: Path) -> tuple[list[str], Room]:
        variables = environment(self._context, self._settings)
        files: dict[str, bytes] = {}
        session = [f"--session-id={start.session}"]
        if start.entries:
            project = re.sub("[^a-zA-Z0-9]", "-", self._settings.directory)
            transcript = _TRANSCRIPT.format(project=project, session=start.session)
            files = {transcript: _lines(start, self._context.model.model)}
            session = [f"--resume={start.session}"]
        if start.resumed:
            variables |= {"CLAUDE_CODE_RESUME_INTERRUPTED_TURN": "1", "CLAUDE_CODE_RESUME_PROMPT": GO_ON}
        workspace, settings = self._context.workspace, self._settings
        sandbox.make_directory(workspace, settings.cwd)
        room = sandbox.room_of(
            workspace,
            {sandbox.RELAY_SOCKET: socket, sandbox.CLI: _CLI},
            files,
            variables,
            network=settings.network,
            most=self._context.most,
            directory=settings.directory,
        )
        turns = max(1, self._settings.max_turns - start.rounds)
        return [sandbox.CLI, *flags(self._context, settings, turns=turns, session=session)], room

    def _options(self) -> ClaudeAgentOptions:
        return ClaudeAgentOptions(
            can_use_tool=self.calls.permit,
            hooks=self.calls.hooks(),
            mcp_servers={**self.calls.server()},
            agents=self._settings.definitions(),
            session_store=cast("SessionStore", self._store),
            session_store_flush="eager",
            verbatim_prompts=True,
            env={"CLAUDE_CONFIG_DIR": f"{sandbox.HOME}/.claude"},
        )

    def _failed(self, status: int) -> None:
        """The gateway has tried enough: the CLI is not left to try in its own ways."""
        self.ending.fail(RuntimeCrashed(f"The model gateway answered with status {status}."))

    async def _review(self, body: dict[str, Any]) -> dict[str, Any] | bytes:
        """Let a request out: results are in the journal before a model sees them, and hooks before tools run.

        A summary of the conversation leaves out the latest results: they are in the transcript before it is asked
        for, or the CLI would sum up something else when the turn goes on from there.
        """
        await self._ready.wait()
        results = wire.results(body)
        for call, result in results.items():
            await self.calls.end(call, result)
        await self._store.until_kept(self.calls.finished - results.keys())
        if self._start.pending and wire.goes_on(body):
            return wire.answer(self._context.model.model, self._start.pending)
        return await self._store.rounds.as_told(wire.edited(body, self.calls.recorded, self._start.rest))


async def _events(client: ClaudeSDKClient, session: Session, turn: ClaudeTurn) -> AsyncGenerator[RuntimeEvent, None]:
    async with aclosing(until_ending(client.receive_messages(), session.ending)) as messages:
        async for message in messages:
            for event in await turn.read(message):
                yield event
            if turn.finished is not None:
                yield turn.finished
                return
    raise RuntimeCrashed("Claude Code ended without a result.")


def _lines(start: Start, model: str) -> bytes:
    """The transcript as the CLI's file."""
    return b"".join(json.dumps(said_by(entry, model)).encode() + b"\n" for entry in start.entries)
