from starlette.routing import Route

from service.web.answers import file_endpoint
from service.web.frame.rendering import HEADERS, SCRIPT, STYLESHEET
from service.web.pages import ICON


def file_routes() -> list[Route]:
    return [
        Route("/site.css", file_endpoint(STYLESHEET, "text/css", HEADERS)),
        Route("/site.js", file_endpoint(SCRIPT, "text/javascript", HEADERS)),
        Route("/site.svg", file_endpoint(ICON, "image/svg+xml", HEADERS)),
    ]
