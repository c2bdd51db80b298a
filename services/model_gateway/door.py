"""The door through which every answer of a provider comes: what is recorded and passed on has been put right here."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from services.model_gateway.sse import Event, written
from services.model_gateway.wires.mending import Mender
from services.storable import storable_value

#: Where a text is inside an event, and the numbers that tell it from others of the same place.
_Place = tuple[Any, ...]
_FIRST_HALVES = range(0xD800, 0xDC00)
#: Halves of characters are looked for no deeper.
_DEPTH = 8
_NUMBERS = ("index", "output_index", "content_index")


class Door:
    """Lets one answer in. An event that needs nothing goes on with the provider's own bytes."""

    def __init__(self, mender: Mender) -> None:
        self.mender = mender
        self._halves: dict[_Place, str] = {}

    def enter(self, event: Event) -> Sequence[Event]:
        """The events that are recorded and passed on for one that came."""
        if not isinstance(found := event.data, dict):
            return (event,)
        data = cast("dict[str, Any]", found)
        is_odd = event.is_odd or bool(self._halves)
        if is_odd:
            data = storable_value(self._joined(data))
        mended = self.mender.mend(data, event.name)
        if mended is None and not is_odd:
            return (event,)
        return [_event(told, event.name) for told in ([data] if mended is None else mended)]

    def rest(self, *, is_told: bool) -> Sequence[Event]:
        """The events that are recorded and passed on when the stream is over."""
        return [_event(told, str(told.get("type", ""))) for told in self.mender.rest(is_told=is_told)]

    def _joined(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with characters whole whose halves came one by one."""
        halves, self._halves = self._halves, {}
        numbers = tuple(event[name] for name in _NUMBERS if isinstance(event.get(name), int))
        return self._walk(event, numbers, halves)

    def _walk(self, value: Any, place: _Place, halves: Mapping[_Place, str]) -> Any:
        if isinstance(value, str):
            return self._text(value, place, halves)
        if len(place) > _DEPTH:
            return value
        if isinstance(value, dict):
            found = cast("dict[str, Any]", value)
            return {name: self._walk(item, (*place, name), halves) for name, item in found.items()}
        if isinstance(value, list):
            found = cast("list[Any]", value)
            return [self._walk(item, (*place, at), halves) for at, item in enumerate(found)]
        return value

    def _text(self, text: str, place: _Place, halves: Mapping[_Place, str]) -> str:
        whole = halves.get(place, "") + text
        if whole and ord(whole[-1]) in _FIRST_HALVES:
            self._halves[place] = whole[-1]
            return whole[:-1]
        return whole


def _event(data: Any, name: str) -> Event:
    return Event(written(data, name), data, name)
