"""The vendors' batch APIs: files, batches, their statuses over time, their results."""

from pandas_genai.testing.batch.assembly import BatchOptions, batch_service
from pandas_genai.testing.batch.endpoints import BatchService, RequestHook
from pandas_genai.testing.batch.faults import BatchFault
from pandas_genai.testing.batch.records import BatchRecord, FileRecord

__all__ = [
    "BatchFault",
    "BatchOptions",
    "BatchRecord",
    "BatchService",
    "FileRecord",
    "RequestHook",
    "batch_service",
]
