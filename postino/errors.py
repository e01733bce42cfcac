"""Every error of postino in one table: code, HTTP status, exit code, whether to retry, and meaning."""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import Any, ClassVar


class PostinoError(Exception):
    """An error whose code is the same in Lua, HTTP, MCP and on the command line.

    `detail` holds further members of the JSON answer: `field`, `position`, `outcome`, `names`, ...
    """

    code: ClassVar[str] = "internal"
    http: ClassVar[int] = 500
    exit: ClassVar[int] = 3
    retryable: ClassVar[bool] = False
    meaning: ClassVar[str] = "A bug in postino; the daemon's log has the traceback"

    def __init__(self, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def body(self) -> dict[str, Any]:
        """Return the members of the JSON answer."""
        answer = {"ok": False, "code": self.code, "error": self.message, "retryable": self.retryable}
        return answer | self.detail


class BadRequest(PostinoError):
    """Base of the errors that the caller has to correct before trying again."""

    code = "bad_request"
    http = 400
    exit = 2
    meaning = "The request contradicts itself, for example with two different ids"


class BadJson(BadRequest):
    code = "bad_json"
    meaning = "The body is not a single JSON object in UTF-8, or is nested too deeply"


class BadField(BadRequest):
    code = "bad_field"
    meaning = "A field is missing, unknown, of the wrong type, too long or contains a character that is not allowed"


class BadName(BadRequest):
    code = "bad_name"
    meaning = "An agent name is malformed or reserved"


class BadPage(BadRequest):
    code = "bad_page"
    meaning = "limit, offset, after or before is out of range"


class Unauthorized(PostinoError):
    code = "unauthorized"
    http = 401
    meaning = "The bearer token is missing where one is needed, or is wrong, expired or revoked"


class Forbidden(PostinoError):
    code = "forbidden"
    http = 403
    meaning = "The call comes from a web page of another origin or from another user of this machine"


class NotAllowed(PostinoError):
    code = "not_allowed"
    http = 403
    meaning = "The role or the name of the token does not allow this; nothing was done"


class CodeSpent(PostinoError):
    code = "code_spent"
    http = 403
    meaning = "The sign-in code is unknown, used or older than 30 s; `postino open` creates a new one"


class NotFound(PostinoError):
    code = "not_found"
    http = 404
    exit = 2
    meaning = "No such path"


class UnknownAgent(PostinoError):
    code = "unknown_agent"
    http = 404
    meaning = "The named agent does not exist; `names` lists similar names"


class UnknownGroup(PostinoError):
    code = "unknown_group"
    http = 404
    meaning = "There is no group of this name, or nobody is in it; `names` lists similar names"


class UnknownMessage(PostinoError):
    code = "unknown_message"
    http = 404
    meaning = "That inbox has no message with this id, or no longer has it"


class UnknownToken(PostinoError):
    code = "unknown_token"
    http = 404
    meaning = "There is no such named token; `postino token list` lists all"


class UnknownSession(PostinoError):
    code = "unknown_session"
    http = 404
    meaning = "The MCP session over HTTP has ended, or belonged to an earlier daemon; the client opens another one"


class MethodNotAllowed(PostinoError):
    code = "method_not_allowed"
    http = 405
    exit = 2
    meaning = "The path exists, but not with this method; see the Allow header"


class KeyReused(PostinoError):
    code = "key_reused"
    http = 409
    meaning = "This id was already accepted with different content; nothing was stored"


class NameTaken(PostinoError):
    code = "name_taken"
    http = 409
    meaning = "The name belongs to an agent that is online or has mail"


class AgentBusy(PostinoError):
    code = "agent_busy"
    http = 409
    meaning = "The agent is online or has mail and cannot be forgotten"


class StaleSession(PostinoError):
    code = "stale_session"
    http = 409
    meaning = "A later connection of the same session has replaced this one"


class AliasLimit(PostinoError):
    code = "alias_limit"
    http = 409
    meaning = "The agent already has 32 former names"


class LeaseLost(PostinoError):
    code = "lease_lost"
    http = 409
    meaning = "Some of the ids are not leased to this consumer; see `rejected`"


class IsPerson(PostinoError):
    code = "is_person"
    http = 409
    meaning = "The inbox is that of a person, who opens messages by their ids (`/people/{name}/seen`); nothing was read"


class GroupFull(PostinoError):
    code = "group_full"
    http = 409
    meaning = "The group has 200 members, or the agent is in 64 groups; nobody was added"


class EmptyGroup(PostinoError):
    code = "empty_group"
    http = 409
    meaning = "Nobody but the sender is in the group, and a message to a group does not go to its sender"


class NotEmpty(PostinoError):
    code = "not_empty"
    http = 409
    meaning = "An import needs a mailroom that has had no mail; nothing was changed"


class TooLarge(PostinoError):
    code = "too_large"
    http = 413
    exit = 2
    meaning = "The request is larger than POSTINO_MAX_BODY_BYTES"


class UnsupportedType(PostinoError):
    code = "unsupported_type"
    http = 415
    exit = 2
    meaning = "A POST must be Content-Type: application/json, or text/plain to `/messages/{to}` (UTF-8, not encoded)"


class BadHost(PostinoError):
    code = "bad_host"
    http = 421
    meaning = "The Host header is not localhost, 127.0.0.1 or [::1] with the port of the daemon"


class InboxFull(PostinoError):
    code = "inbox_full"
    http = 429
    retryable = True
    meaning = "The inbox holds POSTINO_MAX_INBOX unacknowledged messages; nothing was stored"


class RateLimited(PostinoError):
    code = "rate_limited"
    http = 429
    retryable = True
    meaning = (
        "The named token has sent POSTINO_SEND_RATE times, or all callers have asked for 300 renderings, within a "
        "minute; nothing was stored, see `retry_after_s`"
    )


class TooFast(PostinoError):
    code = "too_fast"
    http = 429
    retryable = True
    meaning = (
        "The loop guard: a verified sender has sent POSTINO_SEND_RATE times within a minute, or two to five agents "
        "have answered each other POSTINO_PAIR_RATE times; nothing was stored, see `reason` and `retry_after_s`"
    )


class TooMany(PostinoError):
    code = "too_many"
    http = 503
    retryable = True
    meaning = "64 event streams, or as many MCP sessions over HTTP as may be, are already open; close one"


class NotifyFailed(PostinoError):
    code = "notify_failed"
    http = 503
    retryable = True
    meaning = "A test notification was not sent; the sentence says which service and why"


class WrongStore(PostinoError):
    """Raised at start, before anything is read or written, and by what would store mail in newer data."""

    code = "wrong_store"
    http = 409
    meaning = "The store is not the one that POSTINO_HOME remembers, or a newer postino wrote its data"


class StoreAway(PostinoError):
    """Valkey did not answer; `outcome` says whether the operation may have been applied."""

    code = "store_away"
    http = 503
    exit = 4
    retryable = True
    meaning = "Valkey is unavailable; `outcome` none: nothing was changed, unknown: it may have been"

    def with_detail(self, **detail: Any) -> StoreAway:
        """Return a copy with further members: all calls of a broken connection are given the same error."""
        return type(self)(self.message, **(self.detail | detail))


class StoreFull(StoreAway):
    code = "store_full"
    exit = 3
    meaning = "Valkey has reached its memory limit: nothing was stored; reading, acknowledging and clearing go on"


class Importing(PostinoError):
    code = "importing"
    http = 503
    retryable = True
    meaning = "An import into this mailroom has not finished; until then nothing else is stored"


class Unreachable(PostinoError):
    """No daemon answered. Raised by the client and the command line."""

    code = "unreachable"
    http = 503
    exit = 4
    retryable = True
    meaning = "No postino daemon answers (raised by the client and the command line)"


class Declined(PostinoError):
    """Raised by the command line."""

    code = "declined"
    http = 409
    meaning = "A question of the command line was answered with no; nothing was done (raised by the command line)"


class NameReserved(BadName):
    code = "name_reserved"
    meaning = "all, human, system and postino are reserved and cannot name an agent"


class naming:  # used as a function; a generator would cost each send three times as much
    """Put `id` into a StoreAway raised within: a caller who gave no id can then safely repeat the request.

    For what is stored once per id only: where the outcome is unknown, the message says that a retry is safe.
    """

    __slots__ = ("_id",)

    def __init__(self, id: str) -> None:
        self._id = id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StoreAway):
            hint = "; a retry with the same id is safe" if error.detail.get("outcome") == "unknown" else ""
            raise type(error)(f"{error.message}{hint}", **(error.detail | {"id": self._id})) from None


class partly_done:  # used as a function, as `naming`
    """Say `unknown` in a StoreAway raised within if an earlier step was `done`: the store's word is for one step."""

    __slots__ = ("_done",)

    def __init__(self, done: bool) -> None:
        self._done = done

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._done and isinstance(error, StoreAway):
            raise error.with_detail(outcome="unknown") from None


def _all(root: type[PostinoError]) -> list[type[PostinoError]]:
    return [root] + [each for child in root.__subclasses__() for each in _all(child)]


#: code -> class: the store looks up the first word of a Lua error here, the client the `code` of an answer
ERRORS: dict[str, type[PostinoError]] = {each.code: each for each in _all(PostinoError)}
