"""Every refusal postino can give: one table from Lua's code word to the exit code."""

from __future__ import annotations

from typing import Any, ClassVar


class PostinoError(Exception):
    """A refusal with a code that keeps its name from Lua to the exit code.

    `detail` holds the extra members of the JSON answer: `field`, `position`, `outcome`, `names`, ...
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
        """Return the JSON answer of this refusal."""
        answer = {"ok": False, "code": self.code, "error": self.message, "retryable": self.retryable}
        return answer | self.detail


class BadRequest(PostinoError):
    """Root of what the caller has to change before trying again."""

    code = "bad_request"
    http = 400
    exit = 2
    meaning = "The request contradicts itself, e.g. two different ids"


class BadJson(BadRequest):
    code = "bad_json"
    meaning = "The body is not one JSON object of moderate depth in UTF-8"


class BadField(BadRequest):
    code = "bad_field"
    meaning = "A field is missing, unknown, of the wrong type, too long or holds a refused character"


class BadName(BadRequest):
    code = "bad_name"
    meaning = "An agent name is malformed or reserved"


class BadPage(BadRequest):
    code = "bad_page"
    meaning = "limit, offset or before is out of range"


class Unauthorized(PostinoError):
    code = "unauthorized"
    http = 401
    meaning = "POSTINO_API_TOKEN is set and the request carries no or another bearer token"


class Forbidden(PostinoError):
    code = "forbidden"
    http = 403
    meaning = "The call comes from a web page of another origin or from another user of this machine"


class CodeSpent(PostinoError):
    code = "code_spent"
    http = 403
    meaning = "The sign-in code is unknown, used or older than 30 s; `postino open` makes another"


class NotFound(PostinoError):
    code = "not_found"
    http = 404
    exit = 2
    meaning = "No such path"


class UnknownAgent(PostinoError):
    code = "unknown_agent"
    http = 404
    meaning = "An agent has to exist here and does not; `names` holds the nearest ones"


class UnknownMessage(PostinoError):
    code = "unknown_message"
    http = 404
    meaning = "No message of this id is known in that inbox (any more)"


class MethodNotAllowed(PostinoError):
    code = "method_not_allowed"
    http = 405
    exit = 2
    meaning = "The path exists and has other methods; see the Allow header"


class KeyReused(PostinoError):
    code = "key_reused"
    http = 409
    meaning = "This id was already accepted with other content; nothing was stored"


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
    meaning = "A later connection of the same session has taken over"


class AliasLimit(PostinoError):
    code = "alias_limit"
    http = 409
    meaning = "The agent already keeps 32 former names"


class LeaseLost(PostinoError):
    code = "lease_lost"
    http = 409
    meaning = "Some of the ids are not leased to this consumer; see `rejected`"


class TooLarge(PostinoError):
    code = "too_large"
    http = 413
    exit = 2
    meaning = "The request is larger than POSTINO_MAX_BODY_BYTES"


class UnsupportedType(PostinoError):
    code = "unsupported_type"
    http = 415
    exit = 2
    meaning = "A POST must be Content-Type: application/json (UTF-8, not encoded)"


class BadHost(PostinoError):
    code = "bad_host"
    http = 421
    meaning = "The Host header is not localhost, 127.0.0.1 or [::1] with our port"


class InboxFull(PostinoError):
    code = "inbox_full"
    http = 429
    retryable = True
    meaning = "The inbox holds POSTINO_MAX_INBOX unacknowledged messages; nothing was stored"


class TooMany(PostinoError):
    code = "too_many"
    http = 503
    retryable = True
    meaning = "64 event streams are open already; close one"


class StoreAway(PostinoError):
    """Valkey did not answer; `outcome` says whether the operation may have happened."""

    code = "store_away"
    http = 503
    exit = 4
    retryable = True
    meaning = "Valkey cannot be used right now; `outcome` is none or unknown"


class Unreachable(PostinoError):
    """Raised by the client and the CLI: no daemon answered."""

    code = "unreachable"
    http = 503
    exit = 4
    retryable = True
    meaning = "No postino daemon answers (raised by the client and the command line)"


class NameReserved(BadName):
    code = "name_reserved"
    meaning = "all, human, system and postino are not agents"


def _all(root: type[PostinoError]) -> list[type[PostinoError]]:
    return [root] + [each for child in root.__subclasses__() for each in _all(child)]


#: code -> class, for the store (Lua's first word), the client (the answer's `code`) and the README's table
ERRORS: dict[str, type[PostinoError]] = {each.code: each for each in _all(PostinoError)}
