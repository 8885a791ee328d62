"""`report.html` at the end of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from lightly_train.report.gather import FinishedRun, gather
from lightly_train.report.page import page
from lt_data import atomic_write
from lt_train import RunFolder, details

logger = logging.getLogger(__name__)


def write_report(run: FinishedRun) -> Path | None:
    """Write the report of a run that has ended, whole or not at all.

    Returns:
        The file; None when it could not be made, which the log tells with the reason.
    """
    folder = RunFolder(run.result.out)
    try:
        text = page(gather(run))
        with atomic_write(folder.page) as stream:
            stream.write(text.encode())
    except Exception as error:
        # Whatever goes wrong here, hours of training are done and their files are whole: the caller gets them.
        logger.warning("no report: %s: %s; the run itself is complete", type(error).__name__, error)
        details.debug("the report could not be made", exc_info=True)
        return None
    logger.info("report: %s", folder.page)
    return folder.page
