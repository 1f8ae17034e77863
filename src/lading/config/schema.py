"""The JSON Schema of lading.toml, for editors: ``python -m lading.config.schema``."""

import json

from lading.config.models import Config

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def render_config_schema() -> str:
    """Render the schema as text, two-space indented, with a newline at the end."""
    schema = {"$schema": SCHEMA_DIALECT, "title": "lading.toml", **Config.model_json_schema()}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(render_config_schema(), end="")  # noqa: T201  the command's output
