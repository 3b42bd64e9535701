"""Images and lock files: names that never change their content, and a Docker that is not there."""

import os
import re
import stat
from pathlib import Path

import pytest
import yaml

from trifold.errors import BuildError, DeployError
from trifold.ops import images, lockfile
from trifold.ops.helm import sentence
from trifold.ops.images import Image
from trifold.packed import INTERFACE, Packed

UNLIKE_YAML = "\x7f \x85 \x9f \u2028 \u2029 \ufeff \uffff"
IMAGE = Image("trifold/customers", "v1-11111111-22222222")


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A docker program that says what the test wants; the real one is tried in tests/cluster."""

    def say(script):
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return say


class TestNames:
    """Tags."""

    def test_another_base_is_another_image(self, built_customers, docker):
        """The base's packages are part of what runs, so a newer one has another tag."""
        tags = set()
        for base in ("sha256:aaa", "sha256:bbb", "sha256:aaa"):
            docker(f'case "$1" in image) echo {base};; esac')
            tags.add(images.image_of(built_customers).tag)
        assert len(tags) == 2
        version, digest, _ = built_customers.tag.partition(":")[2].split("-")
        assert all(re.fullmatch(rf"{version}-{digest}-[0-9a-f]{{8}}", tag) for tag in tags)

    @pytest.mark.parametrize("registry", ["registry.example.com/team", "registry.example.com/team/"])
    def test_a_pushed_image_is_named_after_its_registry(self, registry):
        """The repository is the model's, below what --push names."""
        assert images.pushed(IMAGE, registry).name == "registry.example.com/team/customers:v1-11111111-22222222"


class TestDocker:
    """What goes wrong with Docker is one sentence that says what to do."""

    def test_no_docker_is_said(self, built_customers, tmp_path, monkeypatch):
        """The Bento is there all the same; only the image is not."""
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(BuildError, match=r"Docker does not answer.*make -s env"):
            images.image_of(built_customers)

    def test_a_base_that_cannot_be_pulled_is_named(self, built_customers, docker):
        """Where no registry answers, a base can be made of packages."""
        docker('case "$1" in version) ;; pull) echo "Error: no such host" >&2; exit 1;; *) exit 1;; esac')
        with pytest.raises(
            BuildError, match=r"python:3\.11-slim cannot be pulled: Error: no such host\. .*k8s\.kind build"
        ):
            images.image_of(built_customers)

    def test_a_build_that_fails_says_its_last_error(self, built_customers, docker, own_home):
        """Docker's pages go to a file; what went wrong is in the message."""
        docker(
            'case "$1" in version) ;; build) echo "#7 ERROR: no room" >&2; exit 1;; '
            'image) case "$*" in *python*) echo sha256:aaa;; *) exit 1;; esac;; esac'
        )
        with pytest.raises(BuildError, match=r"The image could not be built: .*All that was said is in .*\.log"):
            images.containerize(built_customers)

    def test_a_registry_that_refuses_is_named(self, docker):
        """The usual cause is a login that is missing."""
        docker('case "$1" in push) echo "denied: requested access" >&2; exit 1;; esac')
        with pytest.raises(
            BuildError, match=r"could not be pushed: denied: requested access\. Log in \(docker login ghcr\.io\)"
        ):
            images.push(IMAGE, "ghcr.io/team")

    def test_an_own_index_reaches_the_build_as_a_secret(self, tmp_path, monkeypatch):
        """A password in its address must stand in no layer and on no command line."""
        monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/x")
        monkeypatch.setenv("PIP_CERT", "/etc/own.pem")
        given = images._secrets(tmp_path)
        assert given == ["id=certificates,src=/etc/own.pem", f"id=pip,src={tmp_path / 'pip.conf'}"]
        assert (tmp_path / "pip.conf").read_text().splitlines()[1] == "index-url = https://user:secret@index.example/x"
        assert not [word for word in images.secrets_of_shell() if "secret@" in word]


class TestLockFile:
    """The file that people, GitOps and the command line share."""

    def packed(self, **more):
        """What a packed model says of itself."""
        facts = {"name": "churn", "version": "3", "run_id": "4" * 32, "digest": "1" * 64, "parity": "block-8"}
        return Packed(file="model.skops", file_format="skops", **{"contract": {}, **facts, **more})

    def test_says_what_is_pinned(self, tmp_path):
        """Its keys are values of the chart."""
        lockfile.write(
            tmp_path / "churn.lock.yaml", self.packed(), Image("r.example/churn", "v3", "sha256:" + "2" * 64)
        )
        assert yaml.safe_load((tmp_path / "churn.lock.yaml").read_text()) == {
            "interface": INTERFACE,
            "model": {
                "name": "churn",
                "version": "3",
                "runId": "4" * 32,
                "digest": "1" * 64,
                "title": "churn",
                "description": "",
                "parity": "block-8",
            },
            "image": {"repository": "r.example/churn", "tag": "v3", "digest": "sha256:" + "2" * 64},
        }

    @pytest.mark.parametrize(
        "text",
        ["1e10", "007", "no", "~", 'a "quote": \\ # x', "日本 🚕", "- a", "{{ .Values }}", "a\n\tb\r\x00", UNLIKE_YAML],
    )
    def test_any_name_stays_a_string(self, tmp_path, text):
        """YAML reads 1e10 as a number and no as false; a run id may be of digits only."""
        lockfile.write(tmp_path / "lock.yaml", self.packed(name=text, run_id=text, description=text), IMAGE)
        model = yaml.safe_load((tmp_path / "lock.yaml").read_text())["model"]
        assert (model["name"], model["runId"], model["title"], model["description"]) == (text, text, text, text)

    @pytest.mark.parametrize(
        ("profile", "said", "title", "description"),
        [
            (None, "", "churn", ""),
            (None, "Of the registry.", "churn", "Of the registry."),
            ({"title": None, "description": None}, "Of the registry.", "churn", "Of the registry."),
            ({"title": "Who leaves?", "description": "The profile's."}, "Not this.", "Who leaves?", "The profile's."),
            ({"title": "x" * 201}, "y" * 2001, "x" * 199 + "…", "y" * 1999 + "…"),
            ({"title": "half \ud800"}, "", "half \ufffd", ""),
        ],
    )
    def test_words_are_the_profiles_or_else_the_registrys(self, tmp_path, profile, said, title, description):
        """What the gateway's front page shows, no longer than the chart takes."""
        packed = self.packed(contract={"profile": profile}, description=said)
        lockfile.write(tmp_path / "lock.yaml", packed, IMAGE)
        model = yaml.safe_load((tmp_path / "lock.yaml").read_text())["model"]
        assert (model["title"], model["description"]) == (title, description)

    def test_is_the_same_for_the_same_build(self, tmp_path):
        """A commit of it shows a change only where there is one."""
        for name in ("a.yaml", "a.yaml"):
            lockfile.write(tmp_path / name, self.packed(), IMAGE)
        first = (tmp_path / "a.yaml").read_bytes()
        lockfile.write(tmp_path / "a.yaml", self.packed(), IMAGE)
        assert (tmp_path / "a.yaml").read_bytes() == first
        assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]

    def test_a_folder_that_is_not_there_is_named(self, tmp_path):
        """A typing error in --lock."""
        with pytest.raises(BuildError, match=r"There is no folder .*nowhere"):
            lockfile.write(tmp_path / "nowhere" / "lock.yaml", self.packed(), IMAGE)

    @pytest.mark.parametrize("name", ["a", "a-b", "x" * 40, "0a"])
    def test_release_names_that_fit(self, name):
        """The gateway lets these through."""
        lockfile.require_release(name)

    @pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "x" * 41, "a.b", "a/b", "ä"])
    def test_release_names_that_do_not(self, name):
        """And no others, so that no other Service is reached by it."""
        with pytest.raises(DeployError, match="is no name for a release"):
            lockfile.require_release(name)

    @pytest.mark.parametrize("model", ["churn", "Churn Model", "日本", "x" * 200, "--a--", "a_b.c"])
    def test_any_model_gets_a_release_name(self, model):
        """Who names no release gets one that is allowed."""
        lockfile.require_release(lockfile.release_of(model))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Error: UPGRADE FAILED: context deadline exceeded\n", "context deadline exceeded"),
        ("level=INFO\nError: INSTALLATION FAILED: execution error at (a/b.yaml:3:4): No image.", "No image."),
        ("Error: values don't meet the specifications:\n- at '/online': additional 'x'\n", "additional 'x'"),
        ("", "Helm failed and said nothing."),
    ],
)  # fmt: skip
def test_what_helm_says_is_one_sentence(said, shown):
    """Its prefixes name files of the chart, which mean nothing to who wrote the values."""
    assert sentence(said).endswith(shown)
    assert "\n" not in sentence(said)


def test_the_template_is_where_the_build_expects_it():
    """The build hash covers it, and bentofile.yaml names it."""
    root = Path(images.__file__).resolve().parents[2]
    template = yaml.safe_load((root / "bentofile.yaml").read_text())["docker"]["dockerfile_template"]
    text = (root / template).read_text()
    assert all(start.strip() in text.replace("--from=packages ", "") for start in images.LAYERS.values())
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "1034"
