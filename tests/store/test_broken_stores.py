"""The contract notices a store that breaks a promise: each of these does, each another one."""

import broken_stores
import pytest
import test_contract
import test_contract_blocks
import test_contract_leases
import test_contract_processes
import test_contract_writer

from pandas_genai.store import open_store

NOTICED = {
    "DropsAWrite": test_contract.test_many_keys_are_looked_up_in_blocks,
    "CallsBackEarly": test_contract_writer.test_done_is_called_in_order_once_the_answers_are_there,
    "LeasesTwice": test_contract_leases.test_a_row_is_leased_once,
    "LeasesToTwoJobs": test_contract_leases.test_the_rows_of_a_job_are_leased_until_it_has_ended,
    "LeasesABudgetTwice": test_contract_blocks.test_what_others_have_leased_is_not_left,
    "FillsTooFast": test_contract_blocks.test_all_who_use_a_name_share_what_a_minute_brings,
    "SortsRows": test_contract.test_the_row_keys_of_a_run_come_back_in_the_order_of_its_input,
    "MixesTasks": test_contract.test_tasks_live_side_by_side,
    "ForgetsFailures": test_contract.test_failures_come_back_in_the_order_of_the_input,
    "AcknowledgesEarly": test_contract_processes.test_what_was_acknowledged_survives_a_kill,
    # Kept in the memory of a process, answers are lost with it: the contract says so, too.
    "MemoryStore": test_contract_processes.test_what_was_acknowledged_survives_a_kill,
}


@pytest.mark.parametrize("name", NOTICED)
def test_the_contract_notices_it(name, tmp_path, save, answer, child):
    test = NOTICED[name]
    kinds = {kind.__name__: kind for kind in broken_stores.KINDS}
    url = f"{broken_stores.scheme_of(kinds[name])}://{tmp_path / 'c.sqlite'}"
    with open_store(url)[0] as store:
        two = store.leases("a" * 32), store.leases("a" * 32)
        there = {"cache": store, "save": save, "answer": answer, "two": two}
        there |= {"url": url, "child": child}
        there["spenders"] = store.budget("job", 10.0), store.budget("job", 10.0)
        wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
        with pytest.raises((AssertionError, ValueError)):
            test(**{argument: there[argument] for argument in wanted})


def test_every_broken_store_is_noticed():
    assert NOTICED.keys() == {kind.__name__ for kind in broken_stores.KINDS}
