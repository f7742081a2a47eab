# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, as application/problem+json (RFC 9457), with the sentence that the command would print."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Dict, Mapping, Optional

from starlette.requests import Request
from starlette.responses import JSONResponse

from mindface_eri.errors import ERIError

# code -> status
STATUSES: Dict[str, int] = {
    "bad-request": 400, "token-needed": 401, "foreign-origin": 403, "unknown-host": 403, "url-refused": 403,
    "not-found": 404, "not-allowed": 405, "slow-upload": 408, "too-large": 413, "no-form": 415, "unusable": 422,
    "too-long": 422, "too-many-pixels": 422, "busy": 429, "fault": 500, "url-failed": 502, "not-ready": 503,
    "stopping": 503, "too-slow": 504, "disk-full": 507}


class Problem(ERIError):
    """An answer that is none.

    Attributes:
        code: what programs tell problems apart by; a key of `STATUSES`.
        headers: more headers of the response, such as Retry-After.
    """

    def __init__(self, code: str, detail: object, headers: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(detail)
        self.code, self.status, self.headers = code, STATUSES[code], dict(headers or {})

    def document(self) -> Dict[str, Any]:
        """What the response says."""
        return {"type": f"urn:mindface-eri:problem:{self.code}", "title": HTTPStatus(self.status).phrase,
                "status": self.status, "detail": str(self)}

    def response(self) -> JSONResponse:
        """The response."""
        return JSONResponse(self.document(), self.status, self.headers, media_type="application/problem+json")


async def answer_problem(_: Request, error: Exception) -> JSONResponse:
    """Starlette's handler of `Problem`."""
    assert isinstance(error, Problem)
    return error.response()


async def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """The framework's own errors, in our form."""
    status = getattr(error, "status_code", 500)
    code = {404: "not-found", 405: "not-allowed", 400: "bad-request"}.get(status, "fault")
    said = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is no method of {request.url.path}"}
    problem = Problem(code, said.get(status, getattr(error, "detail", "")), getattr(error, "headers", None))
    return problem.response()


async def answer_fault(_: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw; the log has the rest."""
    return Problem("fault", f"{type(error).__name__}; the server's log says more").response()
