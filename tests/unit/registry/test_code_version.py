import shutil
import subprocess

import pytest

from beast_ml.registry.code_version import CHANGED_TAG, COMMIT_TAG, code_tags

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")


@pytest.fixture
def checkout(tmp_path):
    """Return a repository's package, and its commit."""

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        done = subprocess.run(["git", "-C", tmp_path, *who, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("a = 1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return package, git("rev-parse", "HEAD")


def test_a_checkout_has_its_commit_and_says_whether_it_was_changed(checkout):
    package, commit = checkout
    assert code_tags(package) == {COMMIT_TAG: commit}
    (package / "code.py").write_text("a = 2")
    code_tags.cache_clear()
    assert code_tags(package) == {COMMIT_TAG: commit, CHANGED_TAG: "yes"}


def test_an_installed_package_and_a_repository_that_git_cannot_read_have_none(tmp_path):
    assert code_tags(tmp_path / "site-packages" / "package") == {}
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert code_tags(tmp_path / "package") == {}
