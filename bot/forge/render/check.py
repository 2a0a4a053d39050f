"""A run, at its start and at its end -> the check run that shows it on the commit. Pure."""

from __future__ import annotations

from bot.forge.render import sections
from bot.forge.render.code import title_of
from bot.forge.render.sanitize import clean
from bot.settings import Settings
from bot.types.output import Check
from bot.types.result import Annotation, Failure, RunResult
from bot.types.task import RunSpec
from bot.types.value import Conclusion

ANNOTATIONS = 200
BEGUN, CHECKED = "check-in_progress", "check-completed"
"""Keys of the check run's two stages."""


def check_of(
    spec: RunSpec, result: RunResult | None, conclusion: Conclusion | None, failure: Failure | None, settings: Settings
) -> Check | None:
    """The check run in the stage that `conclusion` tells, None before the end; None where the task shows none."""
    if "check" not in spec.task.outputs or spec.trust == "anyone":
        return None
    pull, name = spec.subject.pull if spec.subject else None, spec.task.name
    sign, words = sections.HEADLINES[conclusion] if conclusion else ("⏳", "is under way")
    titled = result is not None and result.title and conclusion in ("success", "neutral", "action_required")
    return Check(
        key=CHECKED if conclusion else BEGUN,
        external=f"check-{spec.run_id}",
        name=f"{settings.phrase.lstrip('/@')} {name}",
        sha=pull.head.sha if pull else spec.revision.sha,
        status="completed" if conclusion else "in_progress",
        conclusion=conclusion,
        title=title_of(spec, result, 200) if titled and result else f"{sign} {name} {words}",
        summary=_summary(spec, result, failure, settings) or f"{name} {words}.",
        annotations=tuple(_annotation(each) for each in result.annotations[:ANNOTATIONS]) if result else (),
    )


def _summary(spec: RunSpec, result: RunResult | None, failure: Failure | None, settings: Settings) -> str:
    prose = sections.prose_of(spec, settings)
    failure = failure or (result.failure if result else None)
    parts = [
        sections.held_box(result.held, prose) if result and result.held else "",
        sections.failure_box(failure, prose) if failure else "",
        *(sections.result_sections(result, prose) if result else ()),
    ]
    return sections.joined(parts)


def _annotation(remark: Annotation) -> Annotation:
    """GitHub shows annotations as plain text; only what nobody can see is taken out."""
    return remark.changed(message=clean(remark.message)[:5000] or "(no text)", title=clean(remark.title)[:200])
