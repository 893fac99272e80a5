"""A check of the status and the code of errors. The check not_a_server_error of Schemathesis treats every error of a
resolver as a server error, even UNAUTHENTICATED."""

import schemathesis

AT_FAULT = {"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE"}


@schemathesis.check
def nothing_failed_inside(ctx, response, case):
    assert response.status_code < 500, f"status {response.status_code}"
    errors = response.json().get("errors", [])
    codes = {error.get("extensions", {}).get("code") for error in errors}
    assert not codes & AT_FAULT, f"errors {codes}"
