import pytest

from forecaster.errors import ConfigError, DataError, ForecasterError, NotTrained, TooShort
from serving.problems import KINDS, kind_of


def descendants(error: type[ForecasterError]) -> list[type[ForecasterError]]:
    return [each for child in error.__subclasses__() for each in (child, *descendants(child))]


def test_every_error_is_mapped():
    forgotten = [error.__name__ for error in descendants(ForecasterError) if kind_of(error) is None]
    assert forgotten == []
    assert len({kind.slug for kind in KINDS.values()}) == len(KINDS)


def test_a_forgotten_error_is_noticed():
    assert kind_of(ForecasterError) is None
    assert kind_of(TooShort) is KINDS[DataError]


@pytest.mark.usefixtures("store")
def test_an_invalid_request_is_not_repeated(service):
    with service() as running:
        answer = running.get("/v1/models/champion", symbol="secret" * 1000)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:forecaster:invalid-request"
    assert answer.json()["errors"][0].startswith("query.symbol: ")
    assert "secret" not in answer.text


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("path", ["/nothing/here", "/v1/forecasts/a/b"])
def test_what_is_not_there_is_a_problem(service, path):
    with service() as running:
        answer = running.get(path)
    assert answer.json() == {"type": "about:blank", "title": "Not Found", "status": 404}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.usefixtures("store")
def test_a_wrong_method_is_a_problem(service):
    with service() as running:
        answer = running.send("DELETE", "/healthz")
    assert answer.status_code == 405
    assert answer.json()["title"] == "Method Not Allowed"
    assert answer.headers["allow"] == "GET"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("error", [RuntimeError("secret"), NotTrained(["secret"]), ConfigError("secret", "secret")])
def test_an_internal_error_says_nothing(service, caplog, error):
    with service() as running:

        @running.app.get("/broken")
        async def broken() -> None:
            raise error

        answer = running.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "/broken" in caplog.text
