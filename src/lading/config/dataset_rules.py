"""Rules that hold between ``[kubernetes]`` and ``[datasets]``, and what a dataset comes to."""

from collections.abc import Iterator
from dataclasses import dataclass

from lading.config.datasets import Dataset, Kubernetes, Version
from lading.config.models import Config
from lading.config.problems import nearest
from lading.errors import UsageError

STORE = "{base}/{dataset}/v{version}.{ext}"
_KEYED = (".json", ".toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPlan:
    """A dataset with all that it and ``[kubernetes]`` say of it."""

    name: str
    """Its name, as people say it."""
    context: str
    """kubectl's context."""
    namespace: str
    """Namespace of its CronJobs."""
    version: Version
    """Where its version stands; the file without placeholders."""
    stores: tuple[str, ...]
    """Patterns of the URLs that it writes, of which ``{version}`` alone is left to fill."""
    cronjobs: str
    """Path of the manifests, from the repository's folder; or ``package.module:callable``."""
    monitors: tuple[str, ...] | None
    """Roles that a monitor watches; None: all of them."""

    def store_urls(self, version: str) -> tuple[str, ...]:
        """Return the URLs of the stores that a version writes."""
        return tuple(each.replace("{version}", version) for each in self.stores)


def plan_datasets(config: Config) -> dict[str, DatasetPlan]:
    """Return all datasets by name, in the order of the file.

    The configuration has been found free of conflicts.
    """
    kubernetes = config.kubernetes
    if kubernetes is None:
        return {}
    return {
        name: _plan_dataset(name, each, kubernetes, has_monitors=kubernetes.sentry is not None)
        for name, each in config.datasets.items()
    }


def find_dataset(config: Config, name: str) -> DatasetPlan:
    """Return a dataset by name.

    Raises:
        UsageError: there is none of that name; the nearest is named.
    """
    found = plan_datasets(config)
    if name not in found:
        raise UsageError(
            f"dataset: expected one of the {len(found)} datasets of the configuration,"
            f" got {name!r}" + nearest(name, found)
        )
    return found[name]


def find_dataset_conflicts(config: Config) -> Iterator[str]:
    """Yield one line for each rule that the datasets break, in file order."""
    kubernetes = config.kubernetes
    if kubernetes is None:
        return
    if kubernetes.version is not None:
        yield from _version_conflicts("kubernetes.version", kubernetes.version)
    for name, dataset in config.datasets.items():
        place = f"datasets.{name}"
        if dataset.version is not None:
            yield from _version_conflicts(f"{place}.version", dataset.version)
        for field in ("context", "namespace", "version", "cronjobs"):
            if not (getattr(dataset, field) or getattr(kubernetes, field)):
                yield f"{place}.{field}: expected a value here or in kubernetes.{field}, got none"
        pattern = dataset.store or kubernetes.store or STORE
        for field in ("base", "ext"):
            if f"{{{field}}}" in pattern and not (
                getattr(dataset, field) or getattr(kubernetes, field)
            ):
                yield (
                    f"{place}.{field}: expected a value here or in kubernetes.{field}, which"
                    f" {pattern!r} needs, got none"
                )
        if dataset.monitors and kubernetes.sentry is None:
            yield f"{place}.monitors: expected [kubernetes.sentry] beside it, got none"


def _version_conflicts(place: str, version: Version) -> Iterator[str]:
    if bool(version.value) == bool(version.file):
        yield f"{place}: expected either a version or file and key, got {_said(version)}"
    elif version.file and not version.key:
        yield f"{place}.key: expected the version's key in {version.file}, got nothing"
    elif version.file and not version.file.endswith(_KEYED):
        yield f"{place}.file: expected a .json or .toml file, got {version.file!r}"


def _said(version: Version) -> str:
    return "both" if version.value else "neither"


def _plan_dataset(
    name: str, dataset: Dataset, kubernetes: Kubernetes, *, has_monitors: bool
) -> DatasetPlan:
    version = dataset.version or kubernetes.version or Version()
    file = version.file.replace("{dataset}", name) if version.file else None
    monitors = kubernetes.monitors if dataset.monitors is None else dataset.monitors
    base = dataset.base or kubernetes.base
    ext = dataset.ext or kubernetes.ext
    patterns = (
        dataset.store or kubernetes.store or STORE,
        *(dataset.replicas or kubernetes.replicas),
    )
    filled = (
        each.replace("{base}", base.rstrip("/")).replace("{dataset}", name).replace("{ext}", ext)
        for each in patterns
    )
    return DatasetPlan(
        name=name,
        context=dataset.context or kubernetes.context,
        namespace=dataset.namespace or kubernetes.namespace,
        version=version.model_copy(update={"file": file}),
        stores=tuple(filled),
        cronjobs=(dataset.cronjobs or kubernetes.cronjobs or "").replace("{dataset}", name),
        monitors=monitors if has_monitors else (),
    )
