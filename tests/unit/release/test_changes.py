"""Tests of what a destination still needs."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import ImmutableError
from lading.release.changes import (
    DepotChanges,
    PrefixChanges,
    check_immutable,
    plan_depot,
    plan_prefix,
)
from lading.release.objects import Digest, digest_bytes

A, B, C = (digest_bytes(data) for data in (b"a", b"b", b"cc"))
DOCUMENTS = ["SHA256SUMS", "release.json"]
FULL = st.sampled_from([digest_bytes(data) for data in (b"", b"a", b"b", b"cc", b"dd")])


@st.composite
def partial(draw: st.DrawFn) -> Digest:
    """Draw what a listing may know of an object: some of its digests, or none."""
    digest = draw(FULL)
    kept = draw(st.sampled_from([("sha256", "crc32c"), ("sha256",), ("crc32c",), ()]))
    return Digest(
        size_bytes=digest.size_bytes,
        sha256=digest.sha256 if "sha256" in kept else "",
        crc32c=digest.crc32c if "crc32c" in kept else "",
    )


@st.composite
def releases(draw: st.DrawFn) -> dict[str, Digest]:
    """Draw the objects of a release: files sorted by key, then the two documents."""
    files = draw(st.dictionaries(st.sampled_from("abcdefgZ"), FULL))
    return {key: files[key] for key in sorted(files)} | {key: draw(FULL) for key in DOCUMENTS}


STANDING = st.dictionaries(st.sampled_from([*"abcdefgZxy", *DOCUMENTS]), partial())


def apply_prefix(changes: PrefixChanges, standing: Mapping[str, Digest]) -> dict[str, Digest]:
    """Return what stands after the changes are done."""
    after = {**standing, **changes.copy, **changes.replace}
    return {key: digest for key, digest in after.items() if key not in changes.delete}


class TestPrefix:
    """What a public prefix still needs."""

    def test_each_kind(self) -> None:
        """New, different, foreign and equal keys are told apart."""
        objects = {"equal": A, "new": B, "other": C}
        changes = plan_prefix(objects, {"equal": A, "other": A, "foreign": B})
        expected = PrefixChanges(
            copy={"new": B}, replace={"other": C}, delete={"foreign": 1}, kept={"equal": A}
        )
        assert expected == changes
        assert not changes.is_empty

    @pytest.mark.parametrize(
        "changes",
        [
            plan_prefix({"a": A}, {}),
            plan_prefix({"a": A}, {"a": B}),
            plan_prefix({}, {"a": A}),
        ],
    )
    def test_one_change_is_not_empty(self, changes: PrefixChanges) -> None:
        """A copy, a replacement and a deletion each count."""
        assert not changes.is_empty

    @pytest.mark.parametrize("unknown", [Digest(size_bytes=1), Digest(size_bytes=1, md5="0" * 32)])
    def test_unknown_is_replaced(self, unknown: Digest) -> None:
        """An object whose digest is not known is written again, even where the size fits."""
        assert plan_prefix({"a": A}, {"a": unknown}).replace == {"a": A}

    @given(objects=releases(), standing=STANDING)
    def test_applied_is_what_is_wanted(
        self, objects: dict[str, Digest], standing: dict[str, Digest]
    ) -> None:
        """The plan, applied to what stands, gives exactly the release."""
        after = apply_prefix(plan_prefix(objects, standing), standing)
        assert set(objects) == set(after)
        assert [key for key in objects if not objects[key].agrees_with(after[key])] == []

    @given(objects=releases(), standing=STANDING)
    def test_applied_plan_is_empty(
        self, objects: dict[str, Digest], standing: dict[str, Digest]
    ) -> None:
        """Planned again after it is applied, nothing is left and everything is kept."""
        after = apply_prefix(plan_prefix(objects, standing), standing)
        again = plan_prefix(objects, after)
        assert again.is_empty
        assert objects == again.kept

    @given(objects=releases(), standing=STANDING)
    def test_each_key_once(self, objects: dict[str, Digest], standing: dict[str, Digest]) -> None:
        """Each key of the release is copied, replaced or kept; each other key is deleted."""
        changes = plan_prefix(objects, standing)
        found = [*changes.copy, *changes.replace, *changes.kept]
        assert sorted(objects) == sorted(found)
        expected = {key: standing[key].size_bytes for key in sorted(set(standing) - set(objects))}
        assert list(expected.items()) == list(changes.delete.items())

    @given(objects=releases(), standing=STANDING)
    def test_only_what_differs(
        self, objects: dict[str, Digest], standing: dict[str, Digest]
    ) -> None:
        """What is kept agrees with the release; nothing that is kept is only of unknown digest."""
        for key in plan_prefix(objects, standing).kept:
            assert standing[key].sha256 or standing[key].crc32c
            assert objects[key].agrees_with(standing[key])

    @given(objects=releases(), standing=STANDING)
    def test_documents_come_last(
        self, objects: dict[str, Digest], standing: dict[str, Digest]
    ) -> None:
        """Within each kind of change the order is the release's: the documents come last."""
        changes = plan_prefix(objects, standing)
        for part in (changes.copy, changes.replace, changes.kept):
            assert [key for key in objects if key in part] == list(part)
            documents = [key for key in DOCUMENTS if key in part]
            assert documents == list(part)[len(part) - len(documents) :]


class TestDepot:
    """What a depot still needs."""

    def test_each_kind(self) -> None:
        """Objects that are lacking, spoilt and sound are told apart."""
        spoilt = replace(B, crc32c=A.crc32c)
        held = {A.sha256: replace(A, sha256=""), B.sha256: replace(spoilt, sha256="")}
        changes = plan_depot([A, B, C], held)
        assert DepotChanges(send=(C,), replace=(B,), kept=(A,)) == changes
        assert tuple(sorted((B, C), key=lambda each: each.sha256)) == changes.sent
        assert not changes.is_empty

    @pytest.mark.parametrize("held", [{}, {A.sha256: Digest(size_bytes=1)}])
    def test_one_change_is_not_empty(self, held: dict[str, Digest]) -> None:
        """An object that is lacking, or whose digest is not known, has to be sent."""
        changes = plan_depot([A], held)
        assert not changes.is_empty
        assert changes.sent == (A,)

    def test_elsewhere(self) -> None:
        """What the same cloud holds elsewhere is copied, unless this depot has it already."""
        elsewhere = {A.sha256, B.sha256}
        changes = plan_depot([A, B, C], {A.sha256: A}, elsewhere)
        assert DepotChanges(send=(C,), replace=(), kept=(A,), copy=(B,)) == changes
        assert changes.sent == (C,)

    def test_spoilt_is_sent_not_copied(self) -> None:
        """An object that this depot holds with other bytes is sent anew, from the source."""
        changes = plan_depot([A], {A.sha256: B}, {A.sha256})
        assert DepotChanges(send=(), replace=(A,), kept=()) == changes

    def test_copy_is_not_empty(self) -> None:
        """A copy is a change too."""
        changes = plan_depot([A], {}, {A.sha256})
        assert not changes.is_empty
        assert changes.sent == ()

    def test_equal_bytes_are_sent_once(self) -> None:
        """Two files of the same bytes are one object."""
        assert plan_depot([A, A], {}).sent == (A,)

    @given(
        objects=st.lists(FULL), held=st.lists(st.tuples(FULL, partial())), elsewhere=st.lists(FULL)
    )
    def test_applied_plan_is_empty(
        self, objects: list[Digest], held: list[tuple[Digest, Digest]], elsewhere: list[Digest]
    ) -> None:
        """Once everything that is planned is sent and copied, nothing is left to do."""
        before = {named.sha256: found for named, found in held}
        copies = {each.sha256 for each in elsewhere}
        changes = plan_depot(objects, before, copies)
        after = before | {each.sha256: each for each in (*changes.sent, *changes.copy)}
        again = plan_depot(objects, after, copies)
        assert again.is_empty
        assert again.sent == ()
        assert {each.sha256 for each in objects} == {each.sha256 for each in again.kept}

    @given(
        objects=st.lists(FULL), held=st.lists(st.tuples(FULL, partial())), elsewhere=st.lists(FULL)
    )
    def test_each_object_once(
        self, objects: list[Digest], held: list[tuple[Digest, Digest]], elsewhere: list[Digest]
    ) -> None:
        """Each object is sent, copied, replaced or kept, once; each list is sorted by sha256."""
        before = {named.sha256: found for named, found in held}
        changes = plan_depot(objects, before, {each.sha256 for each in elsewhere})
        found = [*changes.send, *changes.copy, *changes.replace, *changes.kept]
        expected = sorted({each.sha256 for each in objects})
        assert expected == sorted(each.sha256 for each in found)
        for part in (changes.send, changes.copy, changes.replace, changes.kept, changes.sent):
            names = [each.sha256 for each in part]
            assert sorted(names) == names


class TestImmutable:
    """A prefix that is never rewritten."""

    @pytest.mark.parametrize("standing", [{}, {"a": A}, {"a": A, "b": B}])
    def test_accepted(self, standing: dict[str, Digest]) -> None:
        """Nothing, a part and the whole of the same release are accepted."""
        check_immutable("gs://b/v1", plan_prefix({"a": A, "b": B}, standing), standing)

    def test_other_bytes(self) -> None:
        """Other bytes are refused with both digests, the place and what to do."""
        standing = {"a": C, "b": B}
        with pytest.raises(ImmutableError) as caught:
            check_immutable("gs://b/v1", plan_prefix({"a": A, "b": B}, standing), standing)
        assert str(caught.value) == (
            f"gs://b/v1/a: expected {A.describe()}, found {C.describe()} in an immutable prefix;"
            " publish under a new tag; an immutable prefix is never rewritten"
        )

    def test_foreign_object(self) -> None:
        """An object that is not of the release may not be deleted either."""
        standing = {"a": A, "x": C}
        with pytest.raises(ImmutableError) as caught:
            check_immutable("gs://b/v1", plan_prefix({"a": A}, standing), standing)
        assert f"gs://b/v1/x: expected no such object, found {C.describe()}" in str(caught.value)

    def test_several(self) -> None:
        """The first that differs is named, and how many more there are."""
        standing = {"a": B, "b": A, "x": C}
        with pytest.raises(ImmutableError, match=r"^gs://b/v1/a: .* \(and 2 more\)"):
            check_immutable("gs://b/v1", plan_prefix({"a": A, "b": B}, standing), standing)

    def test_digests_can_be_compared(self) -> None:
        """Where a listing knows only the crc32c, the crc32c of both is named."""
        standing = {"a": replace(B, sha256="")}
        with pytest.raises(ImmutableError) as caught:
            check_immutable("gs://b/v1", plan_prefix({"a": A}, standing), standing)
        assert B.crc32c in str(caught.value)
        assert A.crc32c in str(caught.value)

    @given(objects=releases(), standing=STANDING)
    def test_refused_when_something_would_be_lost(
        self, objects: dict[str, Digest], standing: dict[str, Digest]
    ) -> None:
        """It is refused exactly where an object that stands would be replaced or deleted."""
        changes = plan_prefix(objects, standing)
        is_refused = False
        try:
            check_immutable("place", changes, standing)
        except ImmutableError:
            is_refused = True
        assert bool(changes.replace or changes.delete) == is_refused
