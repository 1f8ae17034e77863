"""The release as doit tasks: the only room that knows doit.

``from lading.tasks import *`` in a dodo.py gives every task and the settings that make doit
safe for releases; a project's own tasks stand beside them. This room wires the others
together and decides nothing that they could.
"""

from typing import Any

__all__ = [  # noqa: RUF022  the order of a release
    "DOIT_CONFIG",
    "task_access",
    "task_fetch",
    "task_check",
    "task_compress_sqlite",
    "task_zip_parquet",
    "task_build",
    "task_doi",
    "task_manifest",
    "task_upload",
    "task_promote",
    "task_hold",
    "task_git_merge",
    "task_zenodo",
    "task_cloud_run",
    "task_mark_published",
    "task_notify",
    "task_distribute",
    "task_publish",
    "task_plan",
    "task_verify",
    "task_rollback",
    "task_prune",
    "task_unlock",
    "task_staging_cleanup",
    "task_k8s_check",
    "task_k8s_render",
    "task_k8s_staging",
    "task_k8s_deploy",
    "task_k8s_cleanup",
    "task_k8s_status",
    "task_job",
    "task_k8s_job",
]


def __getattr__(name: str) -> Any:
    """Make the tasks when a dodo.py asks for them.

    The command line and lading.toml are read then, and not when doit loads the state backend
    from this package, or a test imports one of its modules.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lading.tasks import release, session, settings  # noqa: PLC0415  see above

    if name == "DOIT_CONFIG":
        return settings.doit_settings(session.current())
    return release.creator(name)
