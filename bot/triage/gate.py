"""Who may start what: pure functions over an event and facts from the forge. A verdict is a value with a reason.

No function here calls anything: facts come as arguments, so every rule can be read and tested by itself. Codes are
stable words; they show in logs, in `handle --json` and in comments.

    ignored   other_event, deleted_comment, edited_comment, no_command, other_label, other_account, archived, bot_actor,
              self_trigger, not_the_author, no_task_for_this; by itself also subject_gone, head_moved, nothing_failed
              and whatever else is refused to people
    refused   permission, comment_changed, subject_locked, subject_closed, wrong_subject, unknown_option, bad_option,
              label_removed, runtime_not_allowed, model_not_allowed, image_not_allowed, host_not_allowed,
              no_instructions, no_revision, unknown_task, head_moved
"""

from collections.abc import Mapping, Sequence

from bot.errors import ConfigurationError
from bot.settings import Settings
from bot.types.decision import Ignore, Refuse
from bot.types.event import (
    Actor,
    Comment,
    Commented,
    Dispatched,
    Event,
    Failed,
    Labeled,
    Opened,
    Other,
    Scheduled,
    Subject,
    Summoned,
    Upstream,
)
from bot.types.task import OPTIONS, Limits, Task
from bot.types.value import PERMISSIONS, OutputKind, Permission, Trust

OUTPUTS: Mapping[Trust, frozenset[OutputKind]] = {
    "anyone": frozenset({"comment", "labels", "patch"}),
    "fork": frozenset({"comment", "patch", "review"}),
    "writer": frozenset({"comment", "labels", "patch", "branch", "pull_request", "check", "review"}),
}
"""What may be published at the most, by how far the requester and the code are trusted."""
ASKED = Commented | Labeled | Summoned
"""A person did something to an issue or a pull request so that the bot acts, and may be told there why it does not."""


def screen(event: Event, settings: Settings) -> Ignore | None:
    """What the payload alone rules out, before anything is asked of anybody."""
    trigger = event.trigger
    if isinstance(trigger, Other):
        return Ignore(code="other_event", reason=trigger.reason)
    if isinstance(trigger, Commented) and (ignored := _screen_comment(event, trigger)):
        return ignored
    if isinstance(trigger, Labeled) and trigger.task is None:
        return Ignore(code="other_label", reason=f"the label does not begin with {settings.label_prefix!r}")
    if event.repository.archived:
        return Ignore(code="archived", reason="the repository is archived")
    if isinstance(trigger, Scheduled):
        return None  # a clock has no account; the workflow file on the default branch is the authority
    if is_bot(event.actor) and event.actor.id not in settings.trusted_bots:
        return Ignore(code="bot_actor", reason=f"account {event.actor.id} is a bot that is not in `trusted_bots`")
    return None


def _screen_comment(event: Event, trigger: Commented) -> Ignore | None:
    if event.action == "deleted":
        return Ignore(code="deleted_comment", reason="a deleted comment starts nothing")
    if trigger.edited or event.action == "edited":
        return Ignore(code="edited_comment", reason="an edited comment starts nothing; write a new one")
    if trigger.command is None:
        return Ignore(code="no_command", reason="the comment does not begin with a command")
    if trigger.comment.author.id != event.actor.id:
        return Ignore(code="not_the_author", reason="the comment was delivered by another account than its author's")
    return None


def is_bot(actor: Actor) -> bool:
    """GitHub's type says so, or the suffix that no person's login can have. Neither ever earns trust."""
    return actor.type == "Bot" or actor.login.lower().endswith("[bot]")


def screen_self(event: Event, viewer: Actor) -> Ignore | None:
    """What the bot does itself starts nothing. Dispatches and schedules are others': no output of the bot makes one."""
    if isinstance(event.trigger, Dispatched | Scheduled) or event.actor.id != viewer.id:
        return None
    return Ignore(code="self_trigger", reason="the event comes from the account that the bot itself writes with")


def screen_summons(event: Event, viewer: Actor, settings: Settings) -> Ignore | None:
    """Who is assigned or asked for a review must be the bot: by its number, or by the name that the operator set."""
    trigger = event.trigger
    if not isinstance(trigger, Summoned) or trigger.who.id == viewer.id:
        return None
    name = (settings.mention or "").lower()
    if name and trigger.who.login.lower() in (name, f"{name}[bot]"):
        return None
    return Ignore(code="other_account", reason=f"that was meant for {trigger.who.login}, who is not the bot")


def at_least(level: Permission, needed: Permission) -> bool:
    return PERMISSIONS.index(level) >= PERMISSIONS.index(needed)


def check_permission(event: Event, level: Permission, needed: Permission, what: str) -> Refuse | None:
    """`level` is the forge's word about the actor; the payload's `author_association` is never read."""
    if at_least(level, needed):
        return None
    reason = f"{what} needs the permission `{needed}` in this repository, and {event.actor.login} has `{level}`"
    return Refuse(code="permission", reason=reason, speak=isinstance(event.trigger, ASKED))


def check_automatic(event: Event, task: Task, level: Permission) -> Ignore | None:
    """What policy starts by itself is no request that deserves an answer, so it's ignored where it isn't allowed.

    Triage may run for anybody: it writes nothing but the labels and the comment that policy lists. A schedule is
    nobody's: the workflow that has it stands on the default branch, as the policy does that names the task.
    """
    if isinstance(event.trigger, Scheduled) or task.runtime == "triage" or at_least(level, task.permission):
        return None
    reason = f"task {task.name!r} needs the permission {task.permission!r}, and {event.actor.login} has {level!r}"
    return Ignore(code="permission", reason=reason)


def check_comment(snapshot: Comment, fresh: Comment | None) -> Refuse | None:
    """The text that counts is the event's; one that was edited or deleted since then starts nothing."""
    if fresh is not None and fresh.author.id == snapshot.author.id and same_text(fresh.body, snapshot.body):
        return None
    changed = "was deleted" if fresh is None else "was changed"
    return Refuse(code="comment_changed", reason=f"the comment {changed} before the run could start; write a new one")


def same_text(one: str, other: str) -> bool:
    """Equal but for line ends, outer blanks and characters that the door replaces."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    text = "".join("\ufffd" if each == "\0" or "\ud800" <= each <= "\udfff" else each for each in text)
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def check_subject(event: Event, task: Task, subject: Subject) -> Refuse | None:
    """Whether the task fits the issue or pull request as it is now."""
    asked = isinstance(event.trigger, ASKED)
    if subject.kind not in task.subjects:
        wanted = " or ".join(kind.replace("_", " ") for kind in task.subjects) or "nothing"
        reason = f"`{task.name}` works on {wanted}, this is the other kind"
        return Refuse(code="wrong_subject", reason=reason, speak=asked)
    if subject.locked:
        return Refuse(code="subject_locked", reason="the conversation is locked")
    if subject.state == "closed" and {"branch", "pull_request"} & set(task.outputs):
        reason = f"`{task.name}` changes code, and this is closed; reopen it first"
        return Refuse(code="subject_closed", reason=reason, speak=asked)
    return None


def check_head(event: Event, subject: Subject) -> Refuse | None:
    """The commit that the event spoke of is the one that runs, or nothing runs."""
    trigger = event.trigger
    seen = event.subject.pull.head.sha if event.subject and event.subject.pull else None
    if isinstance(trigger, Upstream | Failed):
        seen = trigger.head.sha
    elif isinstance(trigger, Commented) and trigger.comment.kind == "verdict":
        # A review is of the commit that its page showed, however long it took to write.
        seen = trigger.comment.commit or seen
    if seen is None or subject.pull is None:
        return None  # the payload of a comment in the conversation names no commit: the head of now is pinned
    if subject.pull.head.sha == seen:
        return None
    speak = isinstance(trigger, ASKED)
    return Refuse(code="head_moved", reason="new commits came in before the run could start; ask again", speak=speak)


def check_asked(sha: str, subject: Subject) -> Refuse | None:
    """Who named a commit gets that one or nothing."""
    head = subject.pull.head.sha if subject.pull else ""
    if sha in ("", head):
        return None
    reason = f"the pull request stands at `{head[:12]}` and not at the commit that was named; look at it and ask again"
    return Refuse(code="head_moved", reason=reason, speak=True)


def check_label(event: Event, subject: Subject) -> Refuse | None:
    """A label that was taken off again before the run could start is a change of mind; a re-run took it off itself."""
    trigger = event.trigger
    if not isinstance(trigger, Labeled) or event.attempt > 1:
        return None
    if trigger.label.casefold() in {each.casefold() for each in subject.labels}:
        return None
    return Refuse(code="label_removed", reason="the label was taken off before the run could start")


def check_adapters(task: Task, settings: Settings) -> Refuse | None:
    """A repository may only choose among what the operator allows."""
    if task.runtime not in settings.runtimes:
        reason = f"runtime {task.runtime!r} is not among the operator's: {', '.join(settings.runtimes)}"
        return Refuse(code="runtime_not_allowed", reason=reason)
    if task.model is not None and task.model not in {settings.model, *settings.models}:
        return Refuse(code="model_not_allowed", reason="that model is not among the operator's", speak=False)
    if task.image is not None and "*" not in settings.images and task.image not in {settings.image, *settings.images}:
        return Refuse(code="image_not_allowed", reason="that image is not among the operator's", speak=False)
    if any(not _may_open(host, settings.hosts) for host in task.hosts):
        return Refuse(code="host_not_allowed", reason="a host of the task is not among the operator's", speak=False)
    return None


def granted(task: Task, settings: Settings) -> Task:
    """A task that no event asked for, under the operator's ceilings. Raises ConfigurationError where it wants more."""
    if refused := check_adapters(task, settings):
        raise ConfigurationError(refused.code, refused.reason, hint="change the policy, or allow it in the settings")
    return task.changed(limits=capped(task.limits, settings))


def _may_open(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host pattern of a policy's lies within the operator's."""
    return any(
        each in ("*", host) or (each.startswith("*.") and host.removeprefix("*.").endswith(each[1:]))
        for each in allowed
    )


def with_options(task: Task, options: Mapping[str, str]) -> Task | Refuse:
    """The task with a requester's overrides. A limit that is higher than the task's own stays at the task's."""
    for key in options:
        if key not in OPTIONS:
            known = ", ".join(f"--{each}" for each in OPTIONS)
            return Refuse(code="unknown_option", reason=f"there is no option `--{key}`; known are {known}", speak=True)
    lowered: dict[str, float | int] = {}
    for key in ("minutes", "steps", "usd"):
        if key in options:
            number = _number(options[key])
            if number is None or (key == "steps" and number < 1) or (key == "minutes" and number <= 0):
                reason = f"`--{key}` needs a number above zero"
                return Refuse(code="bad_option", reason=reason, speak=True)
            most = getattr(task.limits, key)
            lowered[key] = min(int(number) if key == "steps" else number, most)
    chosen = {key: options[key] for key in ("model", "image") if options.get(key)}
    return task.changed(limits=task.limits.changed(**lowered), **chosen)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def capped(limits: Limits, settings: Settings) -> Limits:
    """Limits under the operator's ceilings."""
    return limits.changed(
        minutes=min(limits.minutes, settings.max_minutes),
        steps=min(limits.steps, settings.max_steps),
        usd=min(limits.usd, settings.max_usd),
        memory_mb=min(limits.memory_mb, settings.max_memory_mb),
        disk_mb=min(limits.disk_mb, settings.max_disk_mb),
    )


def trust_of(event: Event, subject: Subject | None, level: Permission) -> Trust:
    """How far a run is trusted: by the origin of the code first, then by the requester's permission."""
    if isinstance(event.trigger, Upstream):
        return "fork"
    if subject is not None and subject.kind == "pull_request":
        home = event.repository.full_name.lower()
        origin = subject.pull.head_repository if subject.pull else None
        if origin is None or origin.lower() != home:
            return "fork"
    return "writer" if at_least(level, "write") else "anyone"


def reduced(task: Task, trust: Trust) -> Task:
    """The task with the outputs that its trust allows."""
    return task.changed(outputs=tuple(each for each in task.outputs if each in OUTPUTS[trust]))


def is_automatic(event: Event) -> bool:
    """Whether nobody asked: policy alone decides that it starts."""
    return isinstance(event.trigger, Opened | Upstream | Failed | Scheduled)
