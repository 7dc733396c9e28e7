"""`/docs` and `/openapi.json`: the generated reference, self-contained, for callers with a key.

The files of Swagger UI come from the package `fastapi-swagger`. A browser that opens a page cannot send an API key in a
header, so these pages alone also accept HTTP Basic with the key as the password.
"""

from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from orchestrator.api.errors import POOL_PREFIX
from orchestrator.api.messages.schemas import MessageBody
from orchestrator.api.pool.schemas import PoolError
from orchestrator.api.schemas import Problem
from orchestrator.errors import NotFoundError

PAGE = "/docs"
SCHEMA = "/openapi.json"

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_CONTENT_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


def is_page(path: str) -> bool:
    """Whether a path belongs to the documentation pages."""
    return path in {PAGE, SCHEMA} or path.startswith(f"{PAGE}/")


@router.get(PAGE)
async def page() -> Response:
    """Swagger UI; it loads nothing from other hosts."""
    html = bytes(
        get_swagger_ui_html(
            openapi_url=SCHEMA,
            title="Botdock API",
            swagger_js_url=f"{PAGE}/swagger-ui-bundle.js",
            swagger_css_url=f"{PAGE}/swagger-ui.css",
            swagger_favicon_url=f"{PAGE}/favicon-32x32.png",
            swagger_ui_parameters={"persistAuthorization": False, "tryItOutEnabled": True, "validatorUrl": None},
        ).body
    )
    # A page opened as http://user:key@host/docs cannot fetch relative URLs: they would contain the credentials.
    relative = f"url: '{SCHEMA}'".encode()
    absolute = f"url: window.location.origin + '{SCHEMA}'".encode()
    return HTMLResponse(html.replace(relative, absolute), headers={"Content-Security-Policy": _CONTENT_POLICY})


@router.get(PAGE + "/{name}")
def asset(name: str) -> Response:
    """A static file of Swagger UI (read in a thread: they are large)."""
    if name not in _ASSETS:
        raise NotFoundError("no such documentation file")
    content = resources.files("fastapi_swagger").joinpath("resources", name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "private, max-age=86400"})


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, with its authentication and its error responses."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, PoolError, MessageBody):  # not referenced by any route's annotations
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schemas[model.__name__].pop("$defs", {}))
    components["securitySchemes"] = {
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    schema["security"] = [{"apiKey": []}, {"bearer": []}]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if path in {"/livez", "/readyz"}:
                operation["security"] = []
            if method != "get":
                operation["responses"].setdefault("403", {"description": "The key is read-only"})
            if "{id}" in path and any(item["name"] == "serverName" for item in operation.get("parameters", [])):
                operation["responses"].setdefault("409", {"description": "Several servers have a bot with this id"})
            _show_problems(operation, pool=path.startswith(POOL_PREFIX))
    return schema


def _show_problems(operation: dict[str, Any], *, pool: bool) -> None:
    name, kind = ("PoolError", "application/json") if pool else ("Problem", "application/problem+json")
    content = {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    responses = operation["responses"]
    if operation.get("security") != []:
        responses.setdefault("401", {"description": "The API key is missing or invalid"})
        responses.setdefault("429", {"description": "Too many requests of the server at the same time"})
        responses.setdefault("503", {"description": "Postgres is unavailable; see `Retry-After`"})
    if "requestBody" in operation:
        responses.setdefault("400", {"description": "The body is not valid JSON"})
        responses.setdefault("408", {"description": "The body did not arrive in time"})
        responses.setdefault("413", {"description": "The body is larger than 1 MiB"})
    for status, response in responses.items():
        if int(status) >= 400:
            response["content"] = content
    if "requestBody" in operation or any(parameter["in"] != "path" for parameter in operation.get("parameters", [])):
        responses["422"]["description"] = "A value is invalid; `errors` lists the fields"
    else:
        responses.pop("422", None)  # a malformed id in the path is a 404
    operation["responses"] = dict(sorted(responses.items()))
