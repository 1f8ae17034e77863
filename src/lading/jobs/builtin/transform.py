"""Bronze to silver: CSV or JSON lines become typed, partitioned Parquet, by a declared schema.

Casts, dates, codes, lookups and duplicates are one query of a columnar engine. What is wrong
with a row, in all its columns, goes to the dead letters with its number.
"""

import warnings
from collections.abc import Iterator

from pydantic import Field

from lading.errors import MisconfiguredError
from lading.jobs.refs import ObjectRef, OpenStore
from lading.jobs.run import Run
from lading.jobs.spec import Arguments, JobSpec, Resources

with warnings.catch_warnings():
    # what the name hides is an old method of pydantic's, which nobody calls
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class TransformArguments(Arguments):
        """Arguments of the job."""

        schema: str = Field(  # type: ignore[assignment]
            description="Schema file: TOML, YAML or JSON; path or URL."
        )
        source: str = Field(description="Where bronze is: path or URL; plain, .gz or .zst objects.")
        destination: str = Field(description="Where silver is written: path or URL.")
        pattern: str = Field(default="*", description="Which objects of the source, as '*.csv.gz'.")
        max_bad: float = Field(
            default=0.1, ge=0, le=1, description="Share of rows, or of files, that may be bad."
        )
        allow_empty: bool = Field(
            default=False, description="Let a source without objects make an empty silver."
        )
        memory: str = Field(
            default="",
            description="Memory of the engine, such as 4GB; default: 70 % of what is there.",
        )
        threads: int = Field(
            default=0, ge=0, description="Threads of the engine; 0: all processors."
        )


def list_inputs(arguments: TransformArguments, open_store: OpenStore) -> Iterator[ObjectRef]:
    """List what a run reads: the schema, its lookups, the objects of the source."""
    from lading.jobs.transform.load import load_schema  # noqa: PLC0415
    from lading.jobs.transform.sources import list_bronze  # noqa: PLC0415  pyarrow

    yield from load_schema(arguments.schema, open_store).refs
    source = open_store(arguments.source)
    for entry in list_bronze(source, arguments.pattern):
        yield ObjectRef.of_entry(source.url, entry)


def run_transform(arguments: TransformArguments, run: Run) -> int:
    """Make silver of bronze; see ``docs/how-to-transform.md``.

    Raises:
        MisconfiguredError: the engine is not installed, or as ``transform``.
        BadDataError: as ``transform``.
    """
    try:
        from lading.jobs.transform.work import Order, transform  # noqa: PLC0415  the engine
    except ModuleNotFoundError as error:
        if error.name != "duckdb":
            raise
        raise MisconfiguredError(
            "transform: expected the package duckdb, found none", hint="install lading[jobs]"
        ) from error

    transform(Order(**arguments.model_dump()), run)
    return 0


JOB = JobSpec(
    entrypoint=run_transform,
    description="Transform CSV or JSON lines into typed, partitioned Parquet",
    arguments=TransformArguments,
    identity=("source", "destination", "schema", "pattern"),
    inputs=list_inputs,
    store="destination",
    resources=Resources(cpu="2", memory="4Gi"),
)
