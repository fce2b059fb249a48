"""What a GraphQL answer must be, where schemathesis' own check takes every error at a field for a fault of the server."""

import schemathesis

FAULTS = {"internal", "unimplemented", "unavailable", "deadline_exceeded"}


@schemathesis.check
def graphql_errors_have_codes(ctx, response, case):
    assert response.status_code == 200, f"status {response.status_code}"
    for error in response.json().get("errors", []):
        code = error.get("extensions", {}).get("code")
        assert code, f"an error without a code: {error}"
        assert code not in FAULTS, f"a fault of the server: {error}"
        assert error["extensions"].get("requestId"), f"an error without a request id: {error}"
