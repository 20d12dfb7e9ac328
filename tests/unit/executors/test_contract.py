from beast_ml.executors import LocalExecutor
from beast_ml.executors.versions import differences, versions_here


def test_parts_are_taken_one_by_one_and_only_when_asked_for():
    taken = []

    def parts():
        for part in range(5):
            taken.append(part)
            yield part

    answers = LocalExecutor().map(lambda part, much: part * much, parts(), 10)
    assert taken == []
    assert [next(answers), next(answers)] == [0, 10]
    assert taken == [0, 1]


def test_versions_that_differ_are_named_once_each_and_equal_ones_not_at_all():
    here = versions_here()
    assert differences(here, {"tcp://a:1": dict(here), "tcp://b:2": dict(here)}) == []
    other = {**here, "numpy": "1.0", "python": "3.9"}
    del other["lightgbm"]
    told = differences(here, {"tcp://a:1": here, "tcp://b:2": other, "tcp://c:3": other})
    assert told == [
        f"python 3.9 on tcp://b:2, {here['python']} here",
        f"numpy 1.0 on tcp://b:2, {here['numpy']} here",
        f"lightgbm absent on tcp://b:2, {here['lightgbm']} here",
    ]
