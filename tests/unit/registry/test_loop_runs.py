from beast_ml.registry.connection import connect, experiment_id
from beast_ml.registry.loop_runs import close_killed


def test_only_what_a_killed_training_of_the_same_data_left_running_is_closed(config):
    client = connect(config)
    place = experiment_id(client, config)
    killed, other, done = (client.create_run(place, tags={"data": name}).info.run_id for name in ("a", "b", "a"))
    client.set_terminated(done, "FINISHED")
    close_killed(config, "a")
    assert [client.get_run(run).info.status for run in (killed, other, done)] == ["KILLED", "RUNNING", "FINISHED"]
