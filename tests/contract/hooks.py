"""What the OpenAPI document cannot say of valid requests, and one more check of what it does say.

A rule between two parameters has no place in OpenAPI 3.1. Requests that are meant to be valid are bent to these rules
before they are sent; those that are meant to be wrong stay as they are.
"""

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

DIMENSIONS = {
    "date", "week", "month", "hour", "affiliate", "offer", "advertiser", "campaign", "traffic_source", "affiliate_network",
    "country", "connection", *(f"sub{number}" for number in range(1, 11)),
}  # fmt: skip

schemathesis.openapi.format("iana-time-zone", st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]))


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    """The schema of a stream is that of a text; the service's own tests look at its lines."""
    return response.text


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    if body_is_valid(case):
        give_meaning(case.body["settings"])
        if isinstance(case.body.get("credentials_expire_at"), str):
            case.body["credentials_expire_at"] = "2027-03-31"
    if is_webhook(case):
        # No pattern says what an address is. This one is nowhere.
        case.body["url"] = "https://hooks.invalid/affzero"
    if is_positive(case):
        make_sense(case)


def body_is_valid(case):
    part = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    return part is not None and part.mode.is_positive and isinstance((case.body or {}).get("settings"), dict)


def is_webhook(case):
    part = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    of_webhook = "/webhooks" in case.operation.path and isinstance(case.body, dict) and "url" in case.body
    return part is not None and part.mode.is_positive and of_webhook


def give_meaning(settings):
    """No pattern says what an address, network, currency or time zone is. This host is nowhere: nobody is called."""
    for field in ("base_url", "domain"):
        if field in settings:
            settings[field] = "https://tracker.invalid"
    if "network_id" in settings:
        settings["network_id"] = "acme"
    if "currency" in settings:
        settings["currency"] = "USD"
    if "timezone" in settings:
        settings["timezone"] = "Europe/Berlin"


def make_sense(case):
    query = case.query or {}
    # A cursor is the service's own: none can be made up.
    query.pop("cursor", None)
    # How long a request may take at most is the operator's to say.
    if "deadline_ms" in query:
        query["deadline_ms"] = 20_000
    # Which dimensions there are depends on the connection's platform.
    if "dimension" in (case.path_parameters or {}):
        case.path_parameters["dimension"] = "affiliate"
    # Several connections make one file only where they are merged.
    if case.operation.path == "/api/v1/stats" and str(query.get("merge")).lower() != "true":
        query.pop("format", None)
    if not case.operation.path.endswith("/stats"):
        return
    # Either a preset or two days in order.
    if "preset" in query or not ("from" in query and "to" in query):
        query.pop("from", None)
        query.pop("to", None)
        query.setdefault("preset", "last_7_days")
    else:
        query["to"] = query["from"]
    # With a year before goes every grouping.
    if "compare" in query:
        query["compare"] = "previous_year"
    # Rows are sorted by a column that they have.
    column = str(query.get("sort", "")).lstrip("-")
    if column in DIMENSIONS and column not in query.get("group_by", ()):
        del query["sort"]


@schemathesis.check
def valid_requests_pass_validation(context, response, case):
    """Whatever becomes of a valid request later, its form is not what it fails for."""
    if not is_positive(case) or response.status_code != 422:
        return
    problem = response.json()
    errors = problem.get("errors", [])
    if case.operation.label == "PATCH /api/v1/connections/{id}":
        # Which settings and secrets there are depends on the connection's platform.
        errors = [error for error in errors if not error["pointer"].startswith(("/settings/", "/credentials/"))]
    assert problem["code"] != "validation_failed" or not errors, f"valid, but refused: {errors}"
