"""Operations on projects: what there is, what can be published, what was."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from lading.ledger import read
from lading.ledger.documents import release_table, version_table
from lading.web.answers import (
    ProjectBody,
    ProjectList,
    ReleaseList,
    VersionList,
    problems,
    project_body,
)
from lading.web.auth import Reader
from lading.web.jobs import Name
from lading.web.parts import Here
from lading.web.publishing import Slug

router = APIRouter(tags=["projects"])


@router.get("/projects", response_model=ProjectList, summary="List projects")
def list_projects(parts: Here, caller: Reader) -> Response:
    """List the projects that can be published from here, and those that the ledger knows."""
    del caller
    found = [project_body(row, here) for row, here in parts.catalog.list_projects()]
    return JSONResponse({"projects": found, "total": len(found)})


@router.get(
    "/projects/{slug}",
    response_model=ProjectBody,
    responses=problems("not-found"),
    summary="Show a project",
)
def show_project(parts: Here, caller: Reader, slug: Slug) -> Response:
    """Show a project, and where it can be published to."""
    del caller
    return JSONResponse(project_body(*parts.catalog.find_project(slug)))


@router.get(
    "/projects/{slug}/versions",
    response_model=VersionList,
    responses=problems("not-found"),
    summary="List the versions of a project",
)
def list_versions(parts: Here, caller: Reader, slug: Slug) -> Response:
    """List the versions of a project, and which of them are ready."""
    del caller
    parts.catalog.find_project(slug)
    found = [version_table(each) for each in parts.catalog.list_versions(slug)]
    return JSONResponse({"versions": found, "total": len(found)})


@router.get(
    "/projects/{slug}/releases",
    response_model=ReleaseList,
    responses=problems("not-found"),
    summary="List the releases of a project",
)
def list_releases(
    parts: Here,
    caller: Reader,
    slug: Slug,
    environment: Name = "",
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
) -> Response:
    """List what was published, newest first."""
    del caller
    parts.catalog.find_project(slug)
    found = read.list_releases(parts.ledger, slug, environment=environment, limit=limit)
    return JSONResponse({"releases": [release_table(each) for each in found]})
