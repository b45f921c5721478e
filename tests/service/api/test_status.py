from typing import Any

import httpx2


def test_the_status_page_lists_jobs_without_scripts(http: httpx2.Client, spec: dict[str, Any]) -> None:
    job = http.post("/v1/jobs", json={**spec, "dataset": "on-the-page"}).json()
    page = http.get("/")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "on-the-page" in page.text
    assert job["id"] in page.text
    assert "<script" not in page.text
