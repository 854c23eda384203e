"""A loopback provider for tests and example notebooks: both vendors, no key, no network.

Imports nothing of the rest of the package, and nothing of the rest imports it.
"""

from pandas_genai.testing.asked import Refuse
from pandas_genai.testing.batch import BatchFault, BatchRecord, FileRecord
from pandas_genai.testing.faults import Fault
from pandas_genai.testing.ledger import Ledger, RecordedRequest
from pandas_genai.testing.process import LoopbackProcess
from pandas_genai.testing.provider import LoopbackProvider

__all__ = [
    "BatchFault",
    "BatchRecord",
    "Fault",
    "FileRecord",
    "Ledger",
    "LoopbackProcess",
    "LoopbackProvider",
    "RecordedRequest",
    "Refuse",
]
