"""An event -> a Decision: the one way in. Cheap checks first, then permission, then policy, then everything is pinned.

The model is asked in one place only (triage), after the gate has let the event through.
"""

from collections.abc import Mapping
from dataclasses import replace

from bot.errors import PolicyError
from bot.protocols import ForgeReader, OpensKnowledge
from bot.settings import Settings
from bot.triage import gate
from bot.triage.approvals import waiting
from bot.triage.case import Case, Model, Request
from bot.triage.issues.rules import by_rules
from bot.triage.issues.triggers import harmless
from bot.triage.judging import judged
from bot.triage.pin import pin, snapshot
from bot.triage.policy import closest, digest_of, parse_policy
from bot.triage.policy_shape import RESERVED
from bot.triage.tasks import builtin_tasks, tasks_of
from bot.triage.words import WRITERS, own_word
from bot.types.decision import Decision, Go, Ignore, Refuse
from bot.types.event import (
    Commented,
    Dispatched,
    Event,
    Failed,
    Labeled,
    Opened,
    Scheduled,
    Subject,
    Summoned,
    Trigger,
    Upstream,
)
from bot.types.result import CheckFailure
from bot.types.task import Task
from bot.types.value import PERMISSIONS, Permission, SubjectKind

SUMMONED: Mapping[str, tuple[str, ...]] = {"assigned": ("fix",), "review_requested": ("review",)}
"""What somebody wants who assigns the bot or asks it for a review, where policy says nothing else."""


def decide(
    event: Event,
    *,
    reader: ForgeReader,
    settings: Settings,
    model: Model | None,
    knowledge: OpensKnowledge | None = None,
) -> Decision:
    """What the event deserves. Raises ForgeError, and PolicyError where nobody asked who could mend the policy."""
    if ignored := gate.screen(event, settings) or _screen_accounts(event, reader, settings):
        return ignored
    level: Permission = "write" if isinstance(event.trigger, Scheduled) else reader.permission(event.actor)
    data = reader.file(settings.policy, event.repository.default_branch)
    try:
        policy = harmless(parse_policy(data, settings.policy), settings.label_prefix)
    except PolicyError as error:
        if gate.is_automatic(event) or PERMISSIONS.index(level) < PERMISSIONS.index("write"):
            raise
        return Refuse(code=error.code, reason=error.message, speak=True, always=True, defect=True)
    case = Case(event, level, policy, digest_of(data), tasks_of(policy), reader, settings, model, knowledge)
    verdict = _automatic(case) if gate.is_automatic(event) else _asked(case)
    if isinstance(verdict, Request):
        verdict = _accept(case, verdict)
    if isinstance(verdict, Refuse) and gate.is_automatic(event):
        return Ignore(code=verdict.code, reason=verdict.reason)
    if isinstance(verdict, Refuse) and gate.at_least(level, "write"):
        return verdict.changed(always=True)
    return verdict


def _screen_accounts(event: Event, reader: ForgeReader, settings: Settings) -> Ignore | None:
    viewer = reader.viewer()
    return gate.screen_self(event, viewer) or gate.screen_summons(event, viewer, settings)


# --- what is asked for ------------------------------------------------------------------------------------------


def _automatic(case: Case) -> Request | Decision:
    """The first task that policy names for this moment and that fits the kind of subject."""
    kind = _kind(case.event)
    for name in _named_for(case, kind):
        if kind is None or kind in case.tasks[name].subjects:
            refused = gate.check_automatic(case.event, case.tasks[name], case.level)
            return (refused and waiting(case, name)) or refused or Request(name=name)
    return Ignore(code="no_task_for_this", reason="policy starts nothing at this moment")


def _kind(event: Event) -> SubjectKind | None:
    """What the event is about; a schedule is about nothing, and checks are about pull requests."""
    if isinstance(event.trigger, Scheduled):
        return None
    return event.subject.kind if event.subject else "pull_request"


def _moment(trigger: Trigger) -> str:
    """The policy's name for it, empty where policy has none."""
    match trigger:
        case Opened():
            return trigger.action
        case Summoned():
            return trigger.moment
        case Upstream():
            return "upstream"
        case Failed():
            return "ci_failed"
        case Scheduled():
            return "schedule"
        case _:
            return ""


def _named_for(case: Case, kind: SubjectKind | None) -> tuple[str, ...]:
    moment = _moment(case.event.trigger)
    for key, names in case.policy.on.items():
        if key == moment:
            return names
    wants_triage = moment == "opened" and kind == "issue" and not case.policy.triage.is_empty
    return ("triage",) if wants_triage else SUMMONED.get(moment, ())


def _asked(case: Case) -> Request | Decision:
    """A person's words, answered at once where they need no run."""
    request = _request(case)
    task = case.tasks.get(request.name)
    if task is None and case.event.subject is None:
        return Refuse(
            code="unknown_task", reason=f"there is no task of that name{closest(request.name, list(case.tasks))}"
        )
    needed = task.permission if task else "write" if request.name in WRITERS else "triage"
    what = f"`{request.name}`" if task or request.name in RESERVED else "a command"
    if refusal := gate.check_permission(case.event, case.level, needed, what) or _changed_comment(case):
        return refusal
    if task is not None or case.event.subject is None:
        return request
    return own_word(case, case.event.subject.number, request)


def _request(case: Case) -> Request:
    trigger = case.event.trigger
    if isinstance(trigger, Commented) and trigger.command is not None:
        command = trigger.command
        return Request(name=command.verb, text=command.text, options=command.options)
    if isinstance(trigger, Dispatched):
        return Request(name=trigger.task, text=trigger.prompt, options=trigger.options)
    if isinstance(trigger, Summoned):
        kind = _kind(case.event)
        names = _named_for(case, kind)
        return Request(name=next((name for name in names if kind in case.tasks[name].subjects), names[0]))
    return Request(name=(trigger.task or "") if isinstance(trigger, Labeled) else "")


def _changed_comment(case: Case) -> Refuse | None:
    if not isinstance(case.event.trigger, Commented) or case.event.subject is None:
        return None
    asked = case.event.trigger.comment
    comments = case.reader.comments(case.event.subject.number, kind=asked.kind, since=asked.created_at or None)
    return gate.check_comment(asked, next((each for each in comments if each.id == asked.id), None))


# --- whether it may run -----------------------------------------------------------------------------------------


def _accept(case: Case, request: Request) -> Decision:
    """The gate's second half: the task, its overrides, its subject as it is now; then everything is pinned."""
    event, task = case.event, case.tasks[request.name]
    if not gate.is_automatic(event) and (
        refusal := gate.check_permission(event, case.level, task.permission, f"`{task.name}`")
    ):
        return refusal
    chosen = gate.with_options(task.changed(limits=gate.capped(task.limits, case.settings)), request.options)
    if isinstance(chosen, Refuse):
        return chosen
    if refusal := gate.check_adapters(chosen, case.settings):
        return refusal
    subject = _fresh(event, case.reader)
    if isinstance(subject, Refuse):
        return subject
    if refusal := _check_subject(event, chosen, subject, request):
        return refusal
    if chosen.runtime == "triage" and subject is not None:
        return _triage(case, chosen, subject)
    return _pinned(case, chosen, subject, request.text)


def _pinned(case: Case, task: Task, subject: Subject | None, instructions: str) -> Decision:
    trust = gate.trust_of(case.event, subject, case.level)
    failures = _failures(case, task, subject)
    if isinstance(case.event.trigger, Failed) and not failures:
        return Refuse(code="nothing_failed", reason="of the commit's checks none failed but the bot's own")
    spec = pin(
        case.event,
        gate.reduced(task, trust),
        subject,
        trust=trust,
        instructions=instructions,
        policy=case.policy,
        digest=case.digest,
        failures=failures,
        reader=case.reader,
    )
    if isinstance(spec, Refuse):
        return spec
    return Go(reason=f"{case.event.actor.login} ({case.level}) may start {task.name!r}; trust: {trust}", spec=spec)


def _failures(case: Case, task: Task, subject: Subject | None) -> tuple[CheckFailure, ...]:
    """What the checks of the head say, where that is what the run is about."""
    if subject is None or subject.pull is None:
        return ()
    wanted = isinstance(case.event.trigger, Failed) or task.name == "fix-ci"
    return case.reader.failures(subject.pull.head.sha) if wanted else ()


def _fresh(event: Event, reader: ForgeReader) -> Subject | Refuse | None:
    """The subject as the forge shows it now; None for a dispatch without a number."""
    trigger = event.trigger
    where: int | str | None = event.subject.number if event.subject else None
    if isinstance(trigger, Upstream):
        where = f"{trigger.head_repository.partition('/')[0]}:{trigger.head.ref}"
    elif isinstance(trigger, Failed):
        where = f"{event.repository.owner}:{trigger.head.ref}"
    elif isinstance(trigger, Dispatched):
        where = trigger.number
    if where is None:
        return None
    fresh = reader.subject(where, kind=event.subject.kind if event.subject else None)
    if fresh is None or (isinstance(trigger, Failed) and not _is_home(event, fresh)):
        return Refuse(code="subject_gone", reason="there is no such issue or pull request")
    return snapshot(event, fresh)


def _is_home(event: Event, subject: Subject) -> bool:
    """Whether the pull request comes from a branch of this repository, and not from a fork in the same account."""
    origin = subject.pull.head_repository if subject.pull else None
    return (origin or "").lower() == event.repository.full_name.lower()


def _check_subject(event: Event, task: Task, subject: Subject | None, request: Request) -> Refuse | None:
    if subject is not None:
        return (
            gate.check_subject(event, task, subject)
            or gate.check_head(event, subject)
            or gate.check_asked(request.sha, subject)
            or gate.check_label(event, subject)
        )
    if task.runtime == "triage" or task.subjects == ("pull_request",):
        return Refuse(code="wrong_subject", reason=f"`{task.name}` needs the number of what it is to work on")
    builtin = builtin_tasks().get(task.name)
    vague = task.runtime == "builtin" and builtin is not None and builtin.prompt == task.prompt
    if vague and not request.text.strip():
        return Refuse(code="no_instructions", reason=f"`{task.name}` needs a prompt, or the number of an issue")
    return None


def _triage(case: Case, task: Task, subject: Subject) -> Decision:
    """A rule's task where its own gate lets it through, else labels and perhaps a comment."""
    ruled = by_rules(subject, case.policy, lambda: case.reader.changed_paths(subject.number))
    follow = case.tasks.get(ruled.task or "")
    if follow is not None and follow.runtime != "triage" and gate.at_least(case.level, follow.permission):
        labels = tuple(dict.fromkeys((*follow.labels, *ruled.labels)))
        outputs = tuple(dict.fromkeys((*follow.outputs, *(("labels",) if labels else ()))))
        tasks = {**case.tasks, follow.name: follow.changed(labels=labels, outputs=outputs)}
        decision = _accept(replace(case, tasks=tasks), Request(name=follow.name))
        if isinstance(decision, Go):
            return decision
    return judged(case, task, subject, ruled)
