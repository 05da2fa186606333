"""Who is let in, and what everybody else gets."""

from tests.web.puller import Puller


def test_a_live_token_is_let_in_and_nothing_else_is(puller: Puller) -> None:
    assert puller.get("/nowhere").status_code == 404
    assert puller.get("/status").status_code == 500  # not there yet
    puller.session.headers["X-Api-Key"] = "tbk_" + "0" * 36
    refused = puller.get("/status")
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
