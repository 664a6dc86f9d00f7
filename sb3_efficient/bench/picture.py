"""Pictures of measurements, in files that are whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_efficient.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_picture(figure: Figure, file: Path) -> None:
    """
    :param figure: Made without pyplot, which would choose a window system for the whole process
    :param file: In the format that its ending names
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=file.suffix[1:], dpi=110)
    replace_file(file, picture.getvalue())
