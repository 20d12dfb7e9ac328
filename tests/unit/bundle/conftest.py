import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from beast_ml.bundle.manifest import MANIFEST, Manifest, file_sha256


@pytest.fixture
def copy(router_folder, tmp_path):
    """A bundle to be damaged."""
    return Path(shutil.copytree(router_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def reseal() -> Callable[..., None]:
    """Make a changed bundle agree with its manifest again, as somebody who forges one would."""

    def reseal(folder: Path, **changes: object) -> None:
        fields = msgspec.json.decode((folder / MANIFEST).read_bytes())
        del fields["sha256"]
        manifest = msgspec.convert(fields, Manifest)
        files = {name: file_sha256(folder / name) for name in manifest.files if (folder / name).is_file()}
        (folder / MANIFEST).write_bytes(msgspec.structs.replace(manifest, **({"files": files} | changes)).encoded())

    return reseal
