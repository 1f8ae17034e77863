"""Which runs send dead letters again."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lading.jobs.letters import DeadLetter
from lading.jobs.redrive import Redrive, plan_redrive
from tests.unit.jobs.test_dead_letters import LETTERS, SAMPLE

A = ("--agency-id", "a")
B = ("--agency-id", "b")


def letter(number: int, item: str, arguments: tuple[str, ...] = A, attempt: int = 1) -> DeadLetter:
    """Return a letter of an item."""
    table = {name: getattr(SAMPLE, name) for name in SAMPLE.__dataclass_fields__}
    more = {"id": f"{number:016x}", "item": item, "arguments": arguments, "attempt": attempt}
    return DeadLetter(**{**table, **more})


LETTERS_OF_TWO = [
    letter(3, "z", B),
    letter(2, "y", attempt=2),
    letter(1, "x"),
    letter(4, "x", attempt=3),
]


def test_one_run_for_each_set_of_arguments() -> None:
    """Letters of one set of arguments are one run, with each item once and all their ids."""
    assert plan_redrive(LETTERS_OF_TWO) == [
        Redrive(
            arguments=A,
            items=frozenset({"x", "y"}),
            retries=(f"{1:016x}:1", f"{2:016x}:2", f"{4:016x}:3"),
        ),
        Redrive(arguments=B, items=frozenset({"z"}), retries=(f"{3:016x}:1",)),
    ]


def test_only_the_letters_that_are_named() -> None:
    """Of an item with several letters the named one makes the run; no letter makes no run."""
    assert plan_redrive(LETTERS_OF_TWO, [f"{4:016x}"]) == [
        Redrive(arguments=A, items=frozenset({"x"}), retries=(f"{4:016x}:3",))
    ]
    assert plan_redrive(LETTERS_OF_TWO, ["f" * 16]) == []
    assert plan_redrive([]) == []


@given(st.lists(LETTERS, unique_by=lambda each: each.id), st.randoms())
def test_no_letter_is_lost(letters: list[DeadLetter], random: Random) -> None:
    """In any order the same runs, and each letter in exactly one of them."""
    plan = plan_redrive(letters)
    shuffled = list(letters)
    random.shuffle(shuffled)
    assert plan_redrive(shuffled) == plan
    retried = [each for redrive in plan for each in redrive.retries]
    assert sorted(retried) == sorted(f"{each.id}:{each.attempt}" for each in letters)
    assert len({redrive.arguments for redrive in plan}) == len(plan)
