from importlib.metadata import PackageNotFoundError

from beast_ml.evaluation import report


def test_versions_name_what_is_installed_and_nothing_else(monkeypatch):
    def version(package):
        if package != "numpy":
            raise PackageNotFoundError(package)
        return "9.9"

    monkeypatch.setattr(report, "version", version)
    assert set(report.package_versions()) == {"python", "numpy"}
