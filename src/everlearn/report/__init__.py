"""Pages and pictures from the records of comparisons; reads disk, never PyTorch."""

from __future__ import annotations

from everlearn.report.page import write_report
from everlearn.report.picture import write_picture

__all__ = ["write_picture", "write_report"]
