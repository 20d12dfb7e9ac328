"""The files that deployments begin with are what Kubernetes and HAProxy take, and fit what is served."""

import os
import subprocess
from importlib.resources import files

import pytest
import yaml

from beast_ml.benchmarks.serving.replicas import haproxy
from beast_ml.serving import supervisor
from beast_ml.settings import ServingSettings

DEPLOY = files("beast_ml.serving") / "deploy"
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
OLDEST, NEWEST = "1.30", "1.37"


def _of(kind):
    return next(each for each in MANIFESTS if each["kind"] == kind)


def _container():
    return _of("Deployment")["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: each["kind"])
def test_manifests_are_what_kubernetes_takes(manifest, version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_a_field_that_kubernetes_does_not_know_is_found():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    manifest = yaml.safe_load(
        (DEPLOY / "kubernetes.yaml").read_text().split("---")[0].replace("readinessProbe", "ready")
    )
    with pytest.raises(kubernetes_validate.ValidationError, match="ready"):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


def test_a_pod_gets_the_time_that_its_drain_may_take():
    pod = _of("Deployment")["spec"]["template"]["spec"]
    before_s = _container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = before_s + supervisor.LEAVE_S + ServingSettings().drain_s
    assert pod["terminationGracePeriodSeconds"] > needed_s


def test_a_pod_may_do_no_more_than_serve():
    pod, container = _of("Deployment")["spec"]["template"]["spec"], _container()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not any("SECRET" in each["name"] or "KEY" in each["name"] for each in container["env"])  # from the Secret


def test_what_refers_to_the_pods_means_them():
    labels = _of("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert _of("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert _of("Service")["spec"]["selector"] == labels
    assert _of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert _of("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == _of("Deployment")["metadata"]["name"]


def test_a_logged_row_outlives_its_pod():
    container = _container()
    state = container["command"][container["command"].index("--state") + 1]
    mount = next(each for each in container["volumeMounts"] if each["mountPath"] == state)
    volumes = {each["name"]: each for each in _of("Deployment")["spec"]["template"]["spec"]["volumes"]}
    claim = volumes[mount["name"]]["persistentVolumeClaim"]["claimName"]
    assert claim == _of("PersistentVolumeClaim")["metadata"]["name"]
    assert mount["subPathExpr"] == "$(POD_NAME)"


def test_haproxy_takes_its_configuration(tmp_path):
    binary = haproxy()
    if binary is None:
        pytest.skip("no HAProxy here")
    names = {f"BEAST_REPLICA_{i}": f"127.0.0.1:{20_000 + i}" for i in (1, 2, 3)}
    shipped = tmp_path / "haproxy.cfg"
    shipped.write_text((DEPLOY / "haproxy.cfg").read_text())
    checked = subprocess.run(
        [binary, "-c", "-f", str(shipped)],
        env={**os.environ, "BEAST_BIND": "127.0.0.1:20000", **names},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "[WARNING]" not in checked.stderr
