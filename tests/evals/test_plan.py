"""Which sequences are read together: each once, and what is shared is really common."""

from hypothesis import given, settings, strategies as st

from tinygrad_llm.evals.plan import GROUP_COST, MAX_TOKENS, Group, Reading, batches, groups

sequences = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 200), st.lists(st.integers(0, 2), min_size=1)).map(
        lambda t: [t[0]] * t[1] + t[2]
    ),
    max_size=12,
)


def begin(n, *rest):
    """A sequence of n tokens that all share, and a few of its own."""
    return [7] * n + list(rest)


def readings(contexts):
    return [Reading(c, 1, len(c) + 3, len(c) + 3) for c in contexts]


@given(sequences)
@settings(deadline=None)
def test_groups_are_a_partition_with_a_common_beginning(contexts):
    found = groups(contexts)
    assert sorted(i for group in found for i in group.numbers) == list(range(len(contexts)))
    for shared, numbers in found:
        first = contexts[numbers[0]][:shared]
        assert len(first) == shared
        for i in numbers:
            assert contexts[i][:shared] == first and len(contexts[i]) > shared
        if shared:
            assert shared * (len(numbers) - 1) > GROUP_COST


@given(sequences, st.integers(1, 5), st.integers(1, 2000), st.booleans())
@settings(deadline=None)
def test_batches_hold_each_sequence_once_and_keep_the_limits(contexts, batch_size, cached, share):
    found = batches(readings(contexts), batch_size, cached, share)
    assert sorted(i for b in found for i in b.numbers) == list(range(len(contexts)))
    for shared, numbers, longest in found:
        assert 1 <= len(numbers) <= batch_size
        assert all(len(contexts[i]) + 3 <= longest for i in numbers)
        assert len(numbers) == 1 or len(numbers) * longest <= cached
        assert share or shared == 0


def test_each_subject_becomes_a_group_although_all_begin_alike():
    """30 tokens are common to all, and 200 to the questions on each of two subjects."""
    subjects = [[1] * 30 + [s] * 170 for s in (2, 3)]
    contexts = [[*subject, n, 9] for n in range(5) for subject in subjects]
    assert groups(contexts) == [Group(200, [0, 2, 4, 6, 8]), Group(200, [1, 3, 5, 7, 9])]


def test_what_saves_little_is_not_a_group():
    few = [begin(GROUP_COST, 1, 2), begin(GROUP_COST, 2, 2)]
    assert groups(few) == [Group(0, [0, 1])]
    assert groups([*few, begin(GROUP_COST, 3, 3)]) == [Group(GROUP_COST, [0, 1, 2])]


def test_the_last_token_is_always_read():
    assert groups([begin(200)] * 3) == [Group(199, [0, 1, 2])]


def test_a_batch_has_at_most_so_many_new_tokens():
    contexts = [[i] * (MAX_TOKENS // 2) for i in range(3)]
    assert [b.numbers for b in batches(readings(contexts), 8, 10**9)] == [[0], [1], [2]]
    shorter = [context[:-3] for context in contexts]
    assert [b.numbers for b in batches(readings(shorter), 8, 10**9)] == [[0, 1], [2]]


def test_short_sequences_do_not_join_a_batch_of_long_ones():
    """200 + 200 tokens are enough for a batch, 100 are not."""
    contexts = [[i] * n for i, n in enumerate((200, 200, 190, 100, 90, 80))]
    assert [b.numbers for b in batches(readings(contexts), 8, 10**9)] == [[0, 1, 2], [3, 4, 5]]
    short = [[i] * n for i, n in enumerate((50, 40, 10, 1))]
    assert [b.numbers for b in batches(readings(short), 8, 10**9)] == [[0, 1, 2, 3]]


def test_the_longest_come_first():
    contexts = [[1], [2, 2, 2], [3, 3]]
    assert [b.numbers for b in batches(readings(contexts), 2, 10**9)] == [[1, 2], [0]]
