"""lading.toml becomes frozen models here, with every problem reported at once.

This room reads one file and never touches a build, a store or the network.
"""

from lading.config.load import LoadedConfig, load_config
from lading.config.models import Channel, CloudRun, Config, Destination, Zenodo

__all__ = ["Channel", "CloudRun", "Config", "Destination", "LoadedConfig", "Zenodo", "load_config"]
