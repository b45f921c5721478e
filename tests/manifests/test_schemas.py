"""What is in deploy/kubernetes/ is what Kubernetes takes, field by field, in its oldest release and its newest."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError, latest_version, validate

from tests.unit.deploy.manifests import FOLDERS, Document, read

# docs/deployment.md says the oldest: `unhealthyPodEvictionPolicy` of the disruption budgets came with it.
RELEASES = ("1.26", latest_version())
NOT_OF_KUBERNETES = {"ScaledObject"}  # KEDA's


def rendered(folder: Path) -> list[Document]:
    """What `kubectl apply --kustomize` would send."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on the PATH renders the manifests; they are checked as they are written")
    said = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return list(yaml.safe_load_all(said.stdout))


def problem(document: Document, release: str) -> str | None:
    """What is wrong with it, if anything is; unknown fields are. Raises SchemaNotFoundError for another's kinds."""
    try:
        validate(document, release, strict=True)
    except ValidationError as error:
        at = ".".join(map(str, error.path))
        return f"{named(document)} {at}: {error.message}"
    return None


def named(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def problems(documents: list[Document], release: str) -> list[str]:
    ours = [each for each in documents if each["kind"] not in NOT_OF_KUBERNETES]
    assert ours
    return [found for each in ours if (found := problem(each, release))]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_document_is_valid_as_it_is_written(folder: Path, release: str) -> None:
    assert problems(read(folder), release) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_document_is_valid_as_it_is_applied(folder: Path) -> None:
    documents = rendered(folder)
    assert [found for release in RELEASES for found in problems(documents, release)] == []


def test_a_field_that_there_is_not_and_a_wrong_type_would_be_found() -> None:
    [worker] = [each for each in read(FOLDERS[0]) if named(each) == "Deployment/questmill-worker"]
    worker["spec"]["template"]["spec"]["terminationGracePeriod"] = 200
    assert "terminationGracePeriod" in str(problem(worker, RELEASES[-1]))
    del worker["spec"]["template"]["spec"]["terminationGracePeriod"]
    worker["spec"]["replicas"] = "two"
    assert "spec.replicas" in str(problem(worker, RELEASES[-1]))


def test_only_kinds_of_others_have_no_schema() -> None:
    for document in (each for folder in FOLDERS for each in read(folder) if each["kind"] in NOT_OF_KUBERNETES):
        with pytest.raises(SchemaNotFoundError):
            problem(document, RELEASES[-1])
