"""What is to stand, from the command line, the repository and git: judged before anything is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lading.config.dataset_rules import DatasetPlan, find_dataset, plan_datasets
from lading.errors import GateError, LadingError
from lading.k8s.build import Habits, build_rollout, name_roles
from lading.k8s.identity import Environment, Identity
from lading.k8s.images import check_image, parse_image
from lading.k8s.names import Named, require_unique
from lading.k8s.rollout import Rollout
from lading.k8s.stores import shared_stores
from lading.k8s.templates import Template, load_templates
from lading.k8s.versions import check_staged_version
from lading.release.receipts import now_utc
from lading.tasks.datasets import (
    Asked,
    commit_of,
    is_dirty,
    kubernetes_of,
    load_main,
    standing_version,
)
from lading.tasks.session import Session

_OPEN_IMAGE, _OPEN_COMMIT = "{image}", "{commit}"
_SHORT = 7


@dataclass(frozen=True, slots=True)
class Source:
    """What is deployed: of which commit, with which image."""

    commit: str
    """The commit, in full; ``{commit}`` where manifests are only rendered."""
    image: str
    """The image; ``{image}`` where manifests are only rendered."""
    warnings: tuple[str, ...] = ()
    """What is odd about them."""


def build_registry(session: Session, source: Source) -> tuple[list[Rollout], list[str]]:
    """Return production of all datasets, once all of it is found right.

    The names that their versions would have in staging are found right, too.

    Raises:
        GateError: with a line a fault.
    """
    faults: list[str] = []
    warnings: list[str] = []
    named: list[Named] = []
    rollouts: list[Rollout] = []
    for plan in plan_datasets(session.config).values():
        try:
            version = standing_version(session, plan)
            templates = _templates(session, plan, version, source)
            faults += _copied(templates, session.config.datasets)
            identity = _identify(session, plan, version, "production", source)
            rollout, odd = build_rollout(plan, templates, identity, _habits(session), now_utc())
            staged = _identify(session, plan, version, "staging", source)
            named += _named(
                rollout.identity, plan, name_roles(plan, templates, identity, _habits(session))
            )
            named += _named(staged, plan, name_roles(plan, templates, staged, _habits(session)))
        except LadingError as error:
            faults += str(error).splitlines()
            continue
        rollouts.append(rollout)
        warnings += odd
    faults += require_unique(named)
    mine = {each.identity.title: each.identity.stores for each in rollouts}
    for title, stores in mine.items():
        others = {other: urls for other, urls in mine.items() if other > title}
        faults += shared_stores({title: stores}, others)
    _refuse(faults)
    return rollouts, warnings


def build_staged(session: Session, asked: Asked, source: Source) -> tuple[Rollout, list[str]]:
    """Return a version of a dataset as it is to be staged, once it is found right.

    Raises:
        GateError: with a line a fault.
    """
    plan = find_dataset(session.config, asked.dataset)
    standing = standing_version(session, plan)
    main = load_main(session)
    theirs = main.versions.get(plan.name)
    place = plan.version.file or f"{session.config_name} datasets.{plan.name}.version"
    _refuse(check_staged_version(plan.name, asked.version, standing, theirs, main.ref, place))
    templates = _templates(session, plan, asked.version, source)
    identity = _identify(session, plan, asked.version, "staging", source)
    rollout, warnings = build_rollout(plan, templates, identity, _habits(session), now_utc())
    if theirs is None:
        warnings = [f"{plan.name} is new: {main.ref} does not have it", *warnings]
    mine = {rollout.identity.title: rollout.identity.stores}
    _refuse(shared_stores(mine, main.store_urls()))
    return rollout, warnings


def open_source(session: Session) -> Source:
    """Return what manifests are rendered of: an image only where one is given."""
    image = session.variables.image
    return find_source(session) if image else Source(_OPEN_COMMIT, _OPEN_IMAGE)


def find_source(session: Session) -> Source:
    """Return the commit and the image that are deployed.

    Raises:
        UsageError: the image has neither tag nor digest.
        GateError: it is not of the repository of the configuration.
    """
    kubernetes, commit = kubernetes_of(session), commit_of(session)
    default = f"{kubernetes.repository}:{commit}" if kubernetes.repository else ""
    image = session.variables.image or default
    parsed = parse_image(image)
    faults, warnings = check_image(parsed, kubernetes.repository, commit)
    _refuse(faults)
    if is_dirty(session):
        warnings = [*warnings, f"tracked files differ from commit {commit[:_SHORT]}"]
    return Source(commit, image, tuple(warnings))


def main_branch(session: Session) -> str:
    """Return the branch that production's ref is of: ``main`` of ``origin/main``."""
    return kubernetes_of(session).main.removeprefix(f"{session.config.project.remote}/")


def _templates(session: Session, plan: DatasetPlan, version: str, source: Source) -> list[Template]:
    return load_templates(
        plan.cronjobs, plan.name, version, source.image, session.repository, plan.namespace
    )


def _copied(templates: Sequence[Template], datasets: Iterable[str]) -> Iterator[str]:
    """Yield a line for each manifest that was copied from another dataset, and bears its name."""
    for each in templates:
        for other in datasets:
            if each.role.startswith(f"{other}-"):
                yield (
                    f"{each.place}: metadata.name: expected a role, or the name of its own dataset"
                    f" and a role, got {each.body['metadata']['name']!r}, which is of {other}"
                )


def _identify(
    session: Session, plan: DatasetPlan, version: str, environment: Environment, source: Source
) -> Identity:
    is_staged = environment == "staging"
    return Identity(
        project=session.config.project.name,
        environment=environment,
        dataset=plan.name,
        version=version,
        branch=Asked(plan.name, version).branch if is_staged else main_branch(session),
        commit=source.commit,
        image=source.image,
        stores=plan.store_urls(version),
    )


def _habits(session: Session) -> Habits:
    kubernetes = kubernetes_of(session)
    return Habits(kubernetes.prefix, kubernetes.stagger_minutes)


def _named(identity: Identity, plan: DatasetPlan, names: Mapping[str, str]) -> Iterator[Named]:
    for role, name in names.items():
        key = (plan.context, plan.namespace, identity.release, role)
        # in another namespace the same name is another CronJob
        place = f"{plan.context}/{plan.namespace}/{name}"
        yield Named(name=place, owner=f"{identity.title} {role}", key=key)


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise GateError("\n".join(dict.fromkeys(faults)))
