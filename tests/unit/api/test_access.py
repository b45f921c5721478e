"""Every route says who may use it."""

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Route

from api.access import scope_of
from api.app import create_app
from shared.access.scopes import Scope
from shared.settings import Settings

OPEN = {
    ("GET", "/"),
    ("GET", "/favicon.ico"),
    ("GET", "/assets/{digest}/{path:path}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v1/session"),
    ("POST", "/v1/session"),
    ("DELETE", "/v1/session"),
}
ADMIN = {("DELETE", "/v1/datasets/{name}"), ("POST", "/v1/prune")}
# They only look, with a body for what they look at.
LOOKING = {("POST", "/v1/plans"), ("POST", "/v1/datasets/{name}/duplicates")}


def scopes() -> dict[tuple[str, str], Scope | None]:
    found = {}
    for route in (each.original_route for each in iter_route_contexts(create_app(Settings()).routes)):
        assert isinstance(route, APIRoute), f"{route} is not one of ours: nothing asks who uses it"
        for method in route.methods or ():
            found[method, route.path] = scope_of(route)
    return found


def test_every_route_has_the_scope_of_its_kind() -> None:
    found = scopes()
    assert {key for key, scope in found.items() if scope is None} == OPEN
    assert {key for key, scope in found.items() if scope is Scope.ADMIN} == ADMIN
    rest = found.keys() - OPEN - ADMIN
    for method, path in rest:
        looks = method == "GET" or (method, path) in LOOKING
        assert found[method, path] is (Scope.READ if looks else Scope.SUBMIT), (method, path)
    assert ("GET", "/metrics") in rest
    assert ("GET", "/openapi.json") in rest


def test_a_route_that_says_nothing_is_found() -> None:
    app = create_app(Settings())
    app.add_api_route("/v1/new", lambda: None)
    with pytest.raises(LookupError, match="/v1/new"):
        scope_of(next(route for route in app.routes if isinstance(route, APIRoute) and route.path == "/v1/new"))
    assert not isinstance(Route("/raw", lambda _: None), APIRoute)


def test_openapi_tells_the_scope_of_each_operation() -> None:
    document = create_app(Settings()).openapi()
    assert document["paths"]["/v1/prune"]["post"]["x-questmill-scope"] == "admin"
    assert document["paths"]["/v1/jobs"]["get"]["x-questmill-scope"] == "read"
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert set(document["components"]["securitySchemes"]) == {"key", "session"}
    assert "SignInBody" in document["components"]["schemas"]


@pytest.mark.parametrize("required", [False, True])
def test_openapi_tells_whether_a_key_is_needed_and_when_to_come_again(required: bool) -> None:
    document = create_app(Settings(require_keys=required)).openapi()
    for item in document["paths"].values():
        for operation in item.values():
            if "x-questmill-scope" in operation:
                assert ({} in operation["security"]) is not required
                assert operation["responses"]["401"]["headers"]["WWW-Authenticate"]["required"]
                assert operation["responses"]["429"]["headers"]["Retry-After"]["required"]


def test_openapi_knows_the_short_forms_of_a_spec() -> None:
    spec = create_app(Settings()).openapi()["components"]["schemas"]["JobSpec"]["properties"]
    assert {"$ref": "#/components/schemas/Mode"} in spec["mode"]["anyOf"]
    named = spec["models"]["additionalProperties"]["additionalProperties"]["anyOf"]
    assert {each["type"] for each in named} == {"string", "array"}
