"""The rules of providers that run in a process of their own."""

import zlib


def checksum(text):
    """An answer that can be of no other text."""
    return {"sum": zlib.crc32(text.encode())}
