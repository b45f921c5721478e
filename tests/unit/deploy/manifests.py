"""What is in docker-compose.yml and in deploy/kubernetes/, for the tests beside."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
BASE = ROOT / "deploy/kubernetes/base"
REHEARSAL = ROOT / "deploy/kubernetes/overlays/rehearsal"
FOLDERS = (BASE, REHEARSAL)

Document = dict[str, Any]


def read(folder: Path) -> list[Document]:
    """Every document of a folder but its kustomization."""
    return [
        document
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text())
    ]


def kustomization(folder: Path) -> Document:
    """What names the folder's files."""
    found = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert isinstance(found, dict)
    return found


def compose() -> Document:
    """The services of docker-compose.yml, by name."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert isinstance(services, dict)
    return services


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """The pod of each Deployment and Job, by its app.kubernetes.io/name."""
    for document in documents:
        if document["kind"] in {"Deployment", "Job"}:
            template = document["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/name"], template["spec"]


def containers(documents: list[Document]) -> dict[str, Document]:
    """The one container of each pod, by the pod's name."""
    return {name: container for name, pod in pods(documents) for container in pod["containers"]}
