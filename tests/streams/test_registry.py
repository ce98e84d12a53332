import pytest

import streams.tables  # noqa: F401 - declares what create_all makes
from streams import codes, files, registry, versions
from streams.db.engine import connect, reading, writing
from streams.db.metadata import metadata
from streams.errors import ConfigError, ConflictError, InputError
from streams.models import Declaration, Slice, Term

SPAM = Declaration(model="spam", task="classification", classes=("ham", "spam"))
BRAZIL = Slice(name="br", where=(Term(tag="country", equals="BR"),))
CHILE = Slice(name="cl", where=(Term(tag="country", equals="CL"),))


def with_slices(*slices):
    return Declaration(model="spam", task="classification", classes=("a", "b"), slices=slices)


@pytest.fixture
def engine(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'penstock.db'}")
    with writing(engine) as connection:
        metadata.create_all(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def db(engine):
    with writing(engine) as connection:
        yield connection


def test_a_model_that_no_event_has_named_holds_for_all_time(db):
    revision = registry.register(db, SPAM, now_ms=5_000, by="ann")

    assert (revision.from_ms, revision.is_new) == (0, True)


def test_a_model_that_events_have_named_holds_once_every_worker_knows_it(db):
    codes.resolve(db, "model", 0, ["spam"])

    assert registry.register(db, SPAM, now_ms=5_000, by="ann").from_ms == 7_000


def test_the_same_declaration_again_is_no_new_revision(db):
    first = registry.register(db, SPAM, now_ms=5_000, by="ann")

    again = registry.register(db, SPAM, now_ms=9_000, by="bob")

    assert (again.seq, again.created_by, again.is_new) == (first.seq, "ann", False)


def test_a_new_slice_comes_at_the_end(db):
    registry.register(db, with_slices(BRAZIL), now_ms=0, by="ann")

    registry.register(db, with_slices(BRAZIL, CHILE), now_ms=10, by="ann")

    assert registry.newest(db, "spam").declaration.slices == (BRAZIL, CHILE)


@pytest.mark.parametrize("slices", [(), (CHILE, BRAZIL), (CHILE,)])
def test_a_slice_keeps_its_slot_for_ever(db, slices):
    registry.register(db, with_slices(BRAZIL), now_ms=0, by="ann")

    with pytest.raises(InputError, match=r"slices\[0\]"):
        registry.register(db, with_slices(*slices), now_ms=10, by="ann")


def test_the_list_holds_declared_and_observed_models_with_their_versions(db):
    registry.register(db, SPAM, now_ms=0, by="ann")
    numbers = codes.resolve(db, "model", 0, ["eta"])
    codes.resolve(db, "version", numbers["eta"], ["v1", "v2"])

    found = registry.summaries(db)

    assert found == [
        registry.ModelSummary("eta", "observed", "", 0, 2),
        registry.ModelSummary("spam", "classification", "", 1, 0),
    ]


def test_a_model_that_nobody_named_is_an_error(db):
    with pytest.raises(InputError, match="no model 'spam'"):
        registry.show(db, "spam")


def test_a_version_is_immutable(db):
    registry.register(db, SPAM, now_ms=0, by="ann")
    first = versions.add_version(
        db, "spam", "v1", digest="a" * 64, body=versions.Body(), now_ms=1, by="ann"
    )

    again = versions.add_version(
        db, "spam", "v1", digest="a" * 64, body=versions.Body(), now_ms=2, by="bob"
    )

    assert again == first
    with pytest.raises(ConflictError, match="v1"):
        versions.add_version(
            db, "spam", "v1", digest="b" * 64, body=versions.Body(), now_ms=3, by="bob"
        )


def test_a_version_that_events_have_named_keeps_its_number(db):
    model_no = codes.resolve(db, "model", 0, ["spam"])["spam"]
    codes.resolve(db, "version", model_no, ["v1", "v2"])

    added = versions.add_version(
        db, "spam", "v2", digest="a" * 64, body=versions.Body(), now_ms=1, by="ann"
    )

    assert added.no == 2
    assert [v.created_ms for v in versions.of_model(db, "spam")] == [None, 1]


def test_people_and_rules_have_no_digest(db):
    registry.register(db, SPAM, now_ms=0, by="ann")

    with pytest.raises(InputError, match="reserved"):
        versions.add_version(
            db, "spam", "people", digest="a" * 64, body=versions.Body(), now_ms=1, by="ann"
        )


def test_a_version_of_nothing_is_an_error(db):
    with pytest.raises(InputError, match="no model"):
        versions.add_version(db, "spam", "v1", body=versions.Body(), now_ms=1, by="ann")


def test_files_are_kept_by_digest_and_verified_on_reading(db, tmp_path):
    registry.register(db, SPAM, now_ms=0, by="ann")
    (tmp_path / "model.onnx").write_bytes(b"graph")
    root = tmp_path / "files"

    stored = files.store(root, tmp_path / "model.onnx")
    body = versions.Body(files=(stored,))
    version = versions.add_version(db, "spam", "v1", body=body, now_ms=1, by="ann")

    assert version.digest == stored.digest
    assert files.read(root, stored.digest) == b"graph"
    assert [p.name for p in root.rglob("*") if p.is_file()] == [stored.digest]


def test_a_damaged_file_is_never_handed_out(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"graph")
    stored = files.store(tmp_path / "files", tmp_path / "model.onnx")

    files.path_of(tmp_path / "files", stored.digest).write_bytes(b"other")

    with pytest.raises(ConfigError, match="damaged"):
        files.read(tmp_path / "files", stored.digest)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_a_digest_is_no_path(tmp_path, digest):
    with pytest.raises(InputError):
        files.path_of(tmp_path, digest)


def test_a_reader_never_waits_for_a_registration(engine):
    with writing(engine) as connection:
        registry.register(connection, SPAM, now_ms=0, by="ann")
        with reading(engine) as other:
            assert registry.newest(other, "spam") is None


def test_terms_of_features_are_compared_by_the_type_of_the_feature():
    declaration = registry.read_declaration(
        b"""
model: eta
task: regression
features:
  trip_km: {type: number, minimum: 0}
  night: {type: boolean}
  zone: {type: category}
slices:
  - name: odd
    where:
      - {feature: trip_km, is: 1.10}
      - {feature: night, is: true}
      - {feature: zone, is: 16}
      - {feature: city, is: NO}
"""
    )

    assert [term.equals for term in declaration.slices[0].where] == [1.1, True, "16", "NO"]


@pytest.mark.parametrize(("kind", "text"), [("number", "far"), ("boolean", "yes")])
def test_a_term_that_the_feature_can_never_equal_is_refused(kind, text):
    with pytest.raises(InputError, match=rf"slices\[0\]\.where\[0\]\.is: '{text}' is not a {kind}"):
        registry.read_declaration(
            f"""
model: eta
task: regression
features: {{x: {{type: {kind}}}}}
slices: [{{name: odd, where: [{{feature: x, is: {text}}}]}}]
""".encode()
        )


def test_a_number_for_a_feature_without_a_type_asks_for_the_type():
    with pytest.raises(InputError) as caught:
        registry.read_declaration(
            b"model: m\ntask: regression\nslices: [{name: a, where: [{feature: x, is: 3}]}]"
        )

    assert "features.x.type" in caught.value.fix
