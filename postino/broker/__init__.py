"""What a message means: send, read, acknowledge, rename, presence, events. No HTTP, no key names."""

from postino.broker.broker import Broker
from postino.broker.sessions import Hello
from postino.store.store import WrongAgent

__all__ = ["Broker", "Hello", "WrongAgent"]
