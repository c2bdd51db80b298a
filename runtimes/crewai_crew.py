"""What a turn of the CrewAI runtime runs: one agent that answers the prompt, or the crew of its `runtime_config`."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from crewai import Agent, Crew, Process, Task
from crewai.tools import BaseTool
from crewai.utilities.task_output_storage_handler import TaskOutputStorageHandler
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtimes.crewai_model import GatewayLLM
from runtimes.crewai_tools import Toolbox
from runtimes.errors import ConfigurationInvalid
from runtimes.meant import guess
from runtimes.types import RuntimeExecutionContext

#: Above every limit of a turn, which are Holdfast's to keep.
_NO_LIMIT = 1_000_000
_PLACES = re.compile(r"\{(prompt|history)\}")

#: Runs in a thread; gives the answer.
Work = Callable[[], str]


class CrewAgent(BaseModel):
    """One of a crew's agents, in CrewAI's words; without `tools` it has all of them."""

    model_config = ConfigDict(extra="forbid")

    role: str
    goal: str
    backstory: str
    tools: list[str] | None = None
    allow_delegation: bool = False


class CrewTask(BaseModel):
    """One of a crew's tasks, in CrewAI's words; `context` are names of tasks that go before it."""

    model_config = ConfigDict(extra="forbid")

    description: str
    expected_output: str
    name: str | None = None
    agent: str | None = None
    context: list[str] = Field(default_factory=list)


class CrewSettings(BaseModel):
    """What `runtime_config` says of a crew; limits and the like are none of its business."""

    model_config = ConfigDict(extra="ignore")

    role: str = "Assistant"
    goal: str = "Answer the user."
    agents: dict[str, CrewAgent] = Field(default_factory=dict)
    tasks: list[CrewTask] = Field(default_factory=list)
    process: Literal["sequential", "hierarchical"] = "sequential"
    manager_agent: str | None = None


def crew_work(context: RuntimeExecutionContext, llm: GatewayLLM, toolbox: Toolbox) -> Work:
    """The work of a turn.

    Raises:
        ConfigurationInvalid: the agent's `runtime_config` says something that cannot be.
    """
    settings = _settings(context.configuration.get("runtime_config") or {})
    if not settings.tasks:
        return _single(context, settings, llm, toolbox)
    return _Assembly(context, settings, llm, toolbox).work()


def _single(context: RuntimeExecutionContext, settings: CrewSettings, llm: GatewayLLM, toolbox: Toolbox) -> Work:
    if settings.agents:
        raise ConfigurationInvalid("A crew's agents have nothing to do.", hint="Give runtime_config some 'tasks'.")
    alone = CrewAgent(role=settings.role, goal=settings.goal, backstory=context.system_prompt or "You are helpful.")
    agent = _agent(alone, llm, toolbox.tools())
    history = [{"role": message.role, "content": message.content} for message in context.history]
    messages: Any = [*history, {"role": "user", "content": context.prompt}]
    return lambda: _raw(agent.kickoff(messages))


class _Nothing(TaskOutputStorageHandler):
    """Keeps nothing: CrewAI would write every task's output into one file of the machine."""

    def __init__(self) -> None:
        """Opens no file."""

    def update(self, task_index: int, log: dict[str, Any]) -> None:
        """Nothing is kept."""

    def reset(self) -> None:
        """There is nothing."""


class _Assembly:
    """Puts a crew together."""

    def __init__(
        self, context: RuntimeExecutionContext, settings: CrewSettings, llm: GatewayLLM, toolbox: Toolbox
    ) -> None:
        self._settings = settings
        self._llm = llm
        self._system_prompt = context.system_prompt
        said = "\n".join(f"{message.role}: {message.content}" for message in context.history)
        self._places = {"prompt": context.prompt, "history": said}
        self._toolbox = toolbox
        self._agents = {name: self._agent(name, described) for name, described in settings.agents.items()}

    def work(self) -> Work:
        """The crew, ready to be started."""
        described = self._settings.tasks
        if not any("{prompt}" in task.description for task in described):
            raise ConfigurationInvalid("No task of the crew has the prompt.", hint="Write {prompt} in a description.")
        manager = self._manager()
        crew = Crew(
            agents=[agent for agent in self._agents.values() if agent is not manager],
            tasks=self._tasks(),
            process=Process(self._settings.process),
            manager_llm=self._llm if self._is_managed and manager is None else None,
            manager_agent=manager,
            memory=False,
            cache=False,
            planning=False,
            verbose=False,
            tracing=False,
        )
        crew._task_output_handler = _Nothing()  # pyright: ignore[reportPrivateUsage]
        return lambda: _raw(crew.kickoff())

    @property
    def _is_managed(self) -> bool:
        return self._settings.process == "hierarchical"

    def _manager(self) -> Agent | None:
        name = self._settings.manager_agent
        if name is None:
            return None
        if not self._is_managed:
            raise ConfigurationInvalid(
                "runtime_config.manager_agent has nobody to manage: the process is sequential.",
                hint="Set runtime_config.process to 'hierarchical', or leave manager_agent out.",
            )
        return _named(self._agents, name, "manager_agent", "agent")

    def _agent(self, name: str, described: CrewAgent) -> Agent:
        """An agent with its tools; CrewAI gives a manager its own, and refuses any other."""
        place = f"agents.{name}.tools"
        if name != self._settings.manager_agent:
            for tool in described.tools or ():
                _named(self._toolbox.names, tool, place, "tool")
            return _agent(described, self._llm, self._toolbox.tools(described.tools))
        if described.tools:
            raise ConfigurationInvalid(
                f"runtime_config.{place}: the crew's manager has no tools.", hint="Give them to another agent."
            )
        return _agent(described, self._llm, [])

    def _tasks(self) -> list[Task]:
        made: list[Task] = []
        named: dict[str, Task] = {}
        for at, described in enumerate(self._settings.tasks):
            if described.name in named:
                raise ConfigurationInvalid(
                    f"runtime_config.tasks.{at}.name: another task is called '{described.name[:80]}'.",
                    hint="Give each task a name of its own.",
                )
            made.append(self._task(at, described, named))
            if described.name is not None:
                named[described.name] = made[-1]
        return made

    def _task(self, at: int, described: CrewTask, before: Mapping[str, Task]) -> Task:
        """A task; where it names no context, CrewAI gives it the results of all that went before."""
        place, is_last = f"tasks.{at}", at == len(self._settings.tasks) - 1
        more = [self._system_prompt] if is_last and self._system_prompt else []
        agent = self._doer(described.agent, f"{place}.agent")
        task = Task(
            name=described.name,
            description="\n\n".join([self._filled(described.description), *more]),
            expected_output=self._filled(described.expected_output),
            agent=agent,
            tools=[] if agent is not None and agent.tools else self._toolbox.tools([]),
        )
        if described.context:
            task.context = [_named(before, name, f"{place}.context", "earlier task") for name in described.context]
        return task

    def _doer(self, name: str | None, place: str) -> Agent | None:
        """Who does a task; None where a manager gives it to somebody."""
        if name is not None:
            return _named(self._agents, name, place, "agent")
        if not self._is_managed:
            hint = "Name one of the crew's agents, or set runtime_config.process to 'hierarchical'."
            raise ConfigurationInvalid(f"runtime_config.{place}: nobody does this task.", hint=hint)
        return None

    def _filled(self, text: str) -> str:
        return _PLACES.sub(lambda place: self._places[place[1]], text)


def _raw(output: Any) -> str:
    """The text of what CrewAI gives."""
    return str(output.raw)


def _agent(described: CrewAgent, llm: GatewayLLM, tools: list[BaseTool]) -> Agent:
    return Agent(
        role=described.role,
        goal=described.goal,
        backstory=described.backstory,
        llm=llm,
        tools=tools,
        allow_delegation=described.allow_delegation,
        max_iter=_NO_LIMIT,
        max_retry_limit=0,
        cache=False,
        verbose=False,
    )


def _settings(given: Mapping[str, Any]) -> CrewSettings:
    try:
        return CrewSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationInvalid(f"runtime_config.{where}: {first['msg']}.") from error


def _named(known: Mapping[str, Any], name: str, place: str, what: str) -> Any:
    if name not in known:
        told = f"runtime_config.{place} names the {what} '{name[:80]}', which there is not."
        raise ConfigurationInvalid(f"{told} {guess(name, known)}")
    return known[name]
