"""What is sent of one row: a text, or an input of another kind, such as an image with a caption."""

from __future__ import annotations

import contextlib
import hashlib
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pandas_genai.errors import UsageError, counted

__all__ = ["MEDIA_SIZE", "NO_INPUT", "Digests", "Inputs", "MediaPart", "Part", "PartsInput"]
__all__ += ["HeldInputs", "RowInput", "TextInput", "TextPart", "Value", "as_input", "as_inputs"]
__all__ += ["characters_of", "digest_of", "digests"]

MEDIA_SIZE = 6_400
"""Characters of text that an image or a file is counted as: 1,600 tokens, what the vendors bill for
an image of a megapixel. Its bytes say nothing: they are compressed pixels."""

_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]+|application/pdf")
_NO_TEXT = b"\xff"
"""Begins what is hashed of an input with media: no UTF-8 has this byte, so no text has its key."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text.

    Parameters
    ----------
    text : str
        As it is sent.
    """

    text: str


@dataclass(frozen=True, slots=True)
class MediaPart:
    """An image, or a PDF.

    Parameters
    ----------
    media_type : str
        ``"image/png"`` and the like, or ``"application/pdf"``.
    data : bytes
        The file's bytes.

    Raises
    ------
    UsageError
        If no backend can carry such a file.
    """

    media_type: str
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise UsageError(
                f"media_type={self.media_type!r} cannot be sent: an input takes images "
                "(image/png, ...) and application/pdf."
            )


Part: TypeAlias = TextPart | MediaPart


def digest_of(data: bytes) -> bytes:
    """Return the 16 bytes of a text in UTF-8 that ``text_hash`` writes as hex digits."""
    return hashlib.sha256(data).digest()[:16]


class RowInput:
    """What is sent of one row.

    A kind of input says its ``parts``; its identity, size and text follow from them, so that they
    are the same live, in batch, and when an input is read back from a request file. A column
    whose values are such inputs is asked as a column of texts is.

    Examples
    --------
    >>> class Photo(RowInput):
    ...     def __init__(self, caption: str, png: bytes) -> None:
    ...         self.caption, self.png = caption, png
    ...
    ...     @property
    ...     def parts(self) -> tuple[Part, ...]:
    ...         return TextPart(self.caption), MediaPart("image/png", self.png)
    >>> photo = Photo("A cat.", b"...")
    >>> photo.text, str(photo)
    ('A cat.', 'A cat. [image/png, 3 bytes]')
    """

    __slots__ = ()

    @property
    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """What the model reads, in this order; the same at every call."""

    @property
    def text(self) -> str:
        """What of the input is text, for checks of a reply and for people."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def media(self) -> list[MediaPart]:
        """The images and files among the parts."""
        return [part for part in self.parts if isinstance(part, MediaPart)]

    @property
    def is_text(self) -> bool:
        """Whether it is a single text."""
        parts = self.parts
        return len(parts) == 1 and isinstance(parts[0], TextPart)

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to send."""
        return not self.media and not self.text.strip()

    @property
    def digest(self) -> bytes:
        """The 16 bytes of the row key.

        An input that is a single text has the key of that text.

        Raises
        ------
        UnicodeEncodeError
            If a text holds a lone surrogate, which no request can carry.
        """
        if self.is_text:
            return digest_of(self.text.encode())
        digest = hashlib.sha256(_NO_TEXT)
        for part in self.parts:
            if isinstance(part, TextPart):
                kind, data = "", part.text.encode()
            else:
                kind, data = part.media_type, part.data
            digest.update(f"{kind} {len(data)}\n".encode())
            digest.update(data)
        return digest.digest()[:16]

    @property
    def size(self) -> int:
        """Bytes of UTF-8, an image or a file counted as ``MEDIA_SIZE`` of them."""
        return self._measured(lambda text: len(text.encode("utf-8", "surrogatepass")))

    @property
    def characters(self) -> int:
        """Characters, an image or a file counted as ``MEDIA_SIZE`` of them."""
        return self._measured(len)

    def _measured(self, length: Callable[[str], int]) -> int:
        return sum(
            length(part.text) if isinstance(part, TextPart) else MEDIA_SIZE for part in self.parts
        )

    def __str__(self) -> str:
        media = [f"[{part.media_type}, {counted(len(part.data), 'byte')}]" for part in self.media]
        return " ".join(filter(None, [self.text, *media]))


class TextInput(str, RowInput):
    """A text, as it is sent: a ``str``, because no other object is made so fast of one."""

    __slots__ = ()

    is_text = True

    @property
    def parts(self) -> tuple[TextPart]:
        """The text."""
        return (TextPart(self),)

    @property
    def text(self) -> str:
        """The text."""
        return self

    @property
    def characters(self) -> int:
        """Its length: asked of every row, so that it is not counted by parts."""
        return len(self)


NO_INPUT = TextInput("")
"""Stands where a row's input is not at hand and nobody asks for it."""


class PartsInput(RowInput):
    """An input of any kind, read back from a request.

    Parameters
    ----------
    parts : sequence of Part
        What was sent.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What was sent."""
        return self._parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartsInput) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)


Value: TypeAlias = str | RowInput | None
"""A row's input as a column holds it: a text is made a ``TextInput`` only when it is sent, since
five million objects are not cheap; None where there is nothing to send."""


class Inputs(ABC):
    """The inputs of all rows, as a column of values.

    Iterated it gives the values; ``take`` makes inputs of some.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Value]: ...

    @abstractmethod
    def values(self, positions: Sequence[int]) -> list[Value]:
        """Return the values at these positions."""

    def take(self, positions: Sequence[int]) -> list[RowInput]:
        """Return the inputs at these positions; an empty text where there is nothing to send."""
        values: list[Any] = self.values(positions)
        if set(map(type, values)) == {str}:  # nearly always, and twice as fast
            return list(map(TextInput, values))
        return list(map(as_input, values))


class HeldInputs(Inputs):
    """Inputs held in memory, so that each value is rendered once.

    In an array, not in a list: the garbage collector looks at each element of a list whenever
    many objects are made, and modules are imported before the first request.

    Parameters
    ----------
    values : Inputs, or sequence of Value
        The rows' values.
    """

    def __init__(self, values: Inputs | Sequence[Value]) -> None:
        self._values: npt.NDArray[np.object_] = np.fromiter(values, np.object_, len(values))

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Value]:
        return iter(self._values.tolist())

    def values(self, positions: Sequence[int]) -> list[Value]:
        """Return the values at these positions."""
        found: list[Value] = self._values[np.asarray(positions, dtype=np.intp)].tolist()
        return found


def as_inputs(values: Inputs | Sequence[Value]) -> Inputs:
    """Return values as inputs."""
    return values if isinstance(values, Inputs) else HeldInputs(values)


def as_input(value: Value) -> RowInput:
    """Return the input of one row; an empty text where there is nothing to send."""
    return value if isinstance(value, RowInput) else TextInput(value or "")


def characters_of(value: Value) -> int:
    """Return how many characters a row's input counts as."""
    if isinstance(value, RowInput):
        return value.characters
    return len(value) if value else 0


class Digests(NamedTuple):
    """The digests of a block of rows.

    Parameters
    ----------
    table : ndarray of uint8
        Sixteen bytes in a row for each of them that has something to send.
    empty, unsendable : list of int
        The places in the block of those with nothing to send, and of what no request can carry.
    """

    table: npt.NDArray[np.uint8]
    empty: Sequence[int] = ()
    unsendable: Sequence[int] = ()


def digests(values: list[Value], sizes: array[int]) -> Digests:
    """Return the digests of a block of rows.

    Parameters
    ----------
    values : list
        What the rows send, or None.
    sizes : array of int
        Is given the size of each row that has a digest.
    """
    if set(map(type, values)) == {str}:  # nearly always, and in half the time
        texts: list[Any] = values
        with contextlib.suppress(UnicodeEncodeError):
            data = [text.encode() for text in texts]
            sizes.extend(map(len, data))
            sha256 = hashlib.sha256
            whole = b"".join([sha256(one).digest() for one in data])
            return Digests(np.frombuffer(whole, np.uint8).reshape(-1, 32)[:, :16])
    found, empty, unsendable = bytearray(), [], []
    for place, value in enumerate(values):
        if value is None:
            empty.append(place)
            continue
        one = as_input(value)
        try:
            found += one.digest
            sizes.append(one.size)
        except UnicodeEncodeError:
            unsendable.append(place)
    return Digests(np.frombuffer(bytes(found), np.uint8).reshape(-1, 16), empty, unsendable)
