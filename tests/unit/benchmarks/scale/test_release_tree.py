import subprocess

import pytest

from beast_ml.benchmarks.scale.release_tree import FIRST, Release, release_tree
from beast_ml.errors import InputError, UnavailableError


def git(folder, *arguments):
    known = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    said = subprocess.run(["git", "-C", str(folder), *known, *arguments], capture_output=True, text=True, check=True)
    return said.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A history of two releases of a package of our name; the first is tagged."""
    folder = tmp_path / "repository"
    package = folder / "beast_ml"
    package.mkdir(parents=True)
    git(folder, "init", "--quiet")
    for release in ("first", "second"):
        (package / "__init__.py").write_text(f"RELEASE = {release!r}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", release)
        if release == "first":
            git(folder, "tag", "serving-first")
    return folder


def test_the_first_release_is_checked_out_beside_and_taken_away(repository, tmp_path):
    with release_tree(None, tmp_path / "tree", repository) as release:
        assert (release.folder / "beast_ml" / "__init__.py").read_text() == "RELEASE = 'first'\n"
        assert release.commit == git(repository, "rev-parse", "serving-first")
        assert (repository / "beast_ml" / "__init__.py").read_text() == "RELEASE = 'second'\n"
    assert not (tmp_path / "tree").exists()
    assert "tree" not in git(repository, "worktree", "list")


def test_what_a_killed_run_left_is_replaced(repository, tmp_path):
    git(repository, "worktree", "add", "--detach", str(tmp_path / "tree"), "HEAD")
    with release_tree("serving-first", tmp_path / "tree", repository) as release:
        assert "first" in (release.folder / "beast_ml" / "__init__.py").read_text()


def test_a_child_process_runs_the_releases_own_code(repository, tmp_path):
    with release_tree("serving-first", tmp_path / "tree", repository) as release:
        assert release.checked() is release
        code = "import beast_ml, sys; sys.stdout.write(beast_ml.RELEASE)"
        assert release._said(code) == "first"


def test_code_that_does_not_run_is_said_with_its_last_word(repository, tmp_path):
    release = Release("abc", repository)
    with pytest.raises(UnavailableError, match="the code of abc does not run here"):
        release.bundle(tmp_path / "router")


def test_a_folder_without_the_package_is_not_taken_for_the_release(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnavailableError, match="does not run"):
        Release("abc", tmp_path / "empty").checked()


def test_a_commit_that_is_not_known_is_refused(repository, tmp_path):
    with pytest.raises(InputError, match="has no such commit"), release_tree("nothing", tmp_path / "tree", repository):
        pass


def test_the_first_release_has_a_commit_for_clones_without_tags():
    assert len(FIRST) == 40
