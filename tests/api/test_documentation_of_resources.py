"""What the OpenAPI document says about these resources."""

from typing import Any

import pytest
from fastapi import FastAPI

OPERATIONS = {
    ("get", "/api/tenants"): 200,
    ("post", "/api/tenants"): 201,
    ("get", "/api/tenants/{tenant_id}"): 200,
    ("put", "/api/tenants/{tenant_id}"): 200,
    ("delete", "/api/tenants/{tenant_id}"): 204,
    ("get", "/api/models"): 200,
    ("post", "/api/models"): 201,
    ("get", "/api/models/{model_id}"): 200,
    ("put", "/api/models/{model_id}"): 200,
    ("delete", "/api/models/{model_id}"): 204,
    ("patch", "/api/models/{model_id}/status"): 200,
    ("get", "/api/tenants/{tenant_id}/conversations"): 200,
    ("post", "/api/tenants/{tenant_id}/conversations"): 201,
    ("get", "/api/tenants/{tenant_id}/conversations/{conversation_id}"): 200,
    ("put", "/api/tenants/{tenant_id}/conversations/{conversation_id}"): 200,
    ("delete", "/api/tenants/{tenant_id}/conversations/{conversation_id}"): 204,
    ("post", "/api/tenants/{tenant_id}/conversations/{conversation_id}/archive"): 200,
    ("get", "/api/tenants/{tenant_id}/conversations/{conversation_id}/messages"): 200,
}


@pytest.fixture(scope="module")
def document(application: FastAPI) -> dict[str, Any]:
    return application.openapi()


def _schema(response: dict[str, Any]) -> dict[str, Any]:
    return response["content"]["application/json"]["schema"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_names_its_answer_and_its_errors(document: dict[str, Any], method: str, path: str) -> None:
    operation = document["paths"][path][method]
    success = operation["responses"][str(OPERATIONS[method, path])]
    assert ("content" in success) == (OPERATIONS[method, path] != 204)
    assert "content" not in success or _schema(success).get("$ref") or _schema(success)["items"]["$ref"]
    for status, response in operation["responses"].items():
        if status[0] in "45":
            assert _schema(response) == {"$ref": "#/components/schemas/ErrorEnvelope"}, status
    assert "{" not in path or "404" in operation["responses"]


def test_the_filters_of_a_list_are_parameters(document: dict[str, Any]) -> None:
    listing = document["paths"]["/api/tenants/{tenant_id}/conversations"]["get"]
    names = {parameter["name"] for parameter in listing["parameters"] if parameter["in"] == "query"}
    assert names == {"user_id", "status", "from_date", "to_date", "q", "limit", "offset"}


def test_money_is_text_of_six_fraction_digits(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Model"]["properties"]["input_token_price"]["type"] == "string"
    assert {one["type"] for one in schemas["ModelCreate"]["properties"]["input_token_price"]["anyOf"]} == {
        "string",
        "number",
    }


def test_headers_that_matter_are_described(document: dict[str, Any]) -> None:
    tenants = document["paths"]["/api/tenants"]
    assert "X-Total-Count" in tenants["get"]["responses"]["200"]["headers"]
    assert "Idempotent-Replayed" in tenants["post"]["responses"]["201"]["headers"]
    assert "idempotency-key" in {parameter["name"] for parameter in tenants["post"]["parameters"]}
