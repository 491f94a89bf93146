"""Jobs of slurm/ that are stopped from outside: by scancel, by their time limit, by a node that is lost."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from conftest import ENDLESS, Job, Lab, environment, job_file, ranks_on
from mockserver import Mock
from pymilvus import MilvusClient
from support import GOOD, UNUSABLE, VIOLATED, named

WriteJob = Callable[[str], Path]
TWO_NODES = ("--nodes=2", "--ntasks-per-node=2")


class Soaks(NamedTuple):
    good: tuple[Job, Mock]
    loser: tuple[Job, Mock]


@pytest.fixture(scope="module", autouse=True)
def soaks(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soaks]:
    """Begun before the other tests: they wait for most of a minute."""
    folders = [tmp_path_factory.mktemp("soak") for _ in range(2)]
    with Mock(folders[0]) as good, Mock(folders[1]) as loses:
        soaks = Soaks(*((lab.submit(folder, "soak", job_file(folder, ENDLESS), options=["--ntasks-per-node=2", "--time=1", "--signal=B:USR1@52"],
                                    MILVUS_URI=server.uri, SOAK_PARTS=2), server) for folder, server in zip(folders, (good, loses), strict=True)))
        loser = Thread(target=lose_a_row, args=soaks.loser)
        loser.start()
        yield soaks
        loser.join()


def lose_a_row(job: Job, server: Mock) -> None:
    """Of the first part, once the second one runs."""
    job.wait_for_words(r"left it, part 2 begins", 120)
    part = job.result("soak-{job}/part-1.h5")
    client = MilvusClient(uri=server.uri)
    try:
        client.delete(part.attributes["collection"], [min(part.live())])
    finally:
        client.close()


def codes(job: Job) -> list[str]:
    return (job.results / f"soak-{job.number}" / "codes").read_text().splitlines()


def collections(server: Mock) -> list[str]:
    client = MilvusClient(uri=server.uri)
    try:
        return sorted(client.list_collections())
    finally:
        client.close()


def under_load(lab: Lab, server: Mock, results: Path, yaml: Path) -> Job:
    job = lab.submit(results, "single", yaml, "--progress", 1, options=TWO_NODES, MILVUS_URI=server.uri)
    job.wait_for_words(r"load \d+ s")
    return job


def test_scancel(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """Plain scancel: the ranks get SIGTERM, audit and save within Slurm's KillWait."""
    job = under_load(lab, server, results, write_job(ENDLESS))
    ranks = [pid for node in lab.nodes for pid in ranks_on(lab, node, job)]
    assert len(ranks) == 4 and all(b"SLURM_PMIX_FENCE=ring\0" in environment(pid) for pid in ranks)  # slurm/site.sh says why
    lab.run("scancel", job.number)
    job.end()
    assert job.records()[0]["JobState"] == "CANCELLED"
    result = job.result("single-{job}.h5")
    assert result.attributes["audited"] and "stopped early by a signal" in result.attributes["verdict"], job.words()
    assert lab.processes_of(job) == []


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    """One that may be broken."""
    lab = Lab(tmp_path / "lab", nodes=3)
    yield lab
    lab.close()


def test_lost_nodes(own_lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """Slurmd and all processes of two nodes are gone at once, one of them a soak's only one."""
    yaml = write_job(ENDLESS)
    soak = own_lab.submit(results, "soak", yaml, "--progress", 1, options=["--ntasks-per-node=2"], MILVUS_URI=server.uri, SOAK_PARTS=2)
    soak.wait_for_words(r"load \d+ s")
    job = own_lab.submit(results, "single", yaml, "--progress", 1, options=[*TWO_NODES, "--nodelist=n[2-3]"], MILVUS_URI=server.uri)
    job.wait_for_words(r"load \d+ s")
    assert soak.records()[0]["NodeList"] == "n1"
    on_disk = local(own_lab, server, results, yaml, "--nodelist=n[2-3]")
    own_lab.lose("n1")
    own_lab.lose("n3")
    assert_merged(job, results)
    assert_merged_without_n3(on_disk)
    soak.wait_for_words(r"part-1 cut off: exit code 3[^$]*part 1 was cut off: its collection cannot be audited[^$]*load \d+ s", 90)
    own_lab.run("scancel", "--batch", "--signal=USR1", soak.number)
    assert soak.end() == UNUSABLE, soak.words()
    assert codes(soak) == ["3 part-1 cut off", "0 part-2", "0 part-2 end"]
    assert soak.result("soak-{job}/part-1.h5").tables["ranks"][0]["missing"]
    assert collections(server) == [f"slurm_{soak.number}_part_1", f"slurm_{soak.number}_part_2", f"slurm_{job.number}", f"slurm_{on_disk.number}"]
    assert soak.result("soak-{job}/part-2.h5").attributes["audited"]


def assert_merged(job: Job, results: Path) -> None:
    """It says so, ends, and makes one result of the journals of all ranks, which tells what is missing."""
    assert job.end() == UNUSABLE, job.words()
    assert "Node failure on n3" in job.words() and "left no result" in job.words()
    result = job.result("single-{job}.h5")
    assert not result.attributes["whole"] and not result.attributes["audited"] and result.attributes["exit_code"] == UNUSABLE
    assert [(row["host"], row["core"], row["missing"]) for row in result.tables["ranks"]] == [("n2", -1, 1), ("n2", -1, 1), ("n3", -1, 1), ("n3", -1, 1)]
    assert result.figures["acknowledged_inserts"] > 0 and "nothing is known of these ranks after their journals' ends: 0, 1, 2, 3" in job.words()
    assert len(list((results / f"single-{job.number}.h5.journals").glob("*.journal"))) == 4


def assert_merged_without_n3(job: Job) -> None:
    """The other node's ranks notice before Slurm does. Its journals were on the node that is gone: they are missed by name, and the other's are merged."""
    name = f"single-{job.number}.h5"
    assert job.end() == UNUSABLE and f"node n3: no journals could be had from there; if it comes back: /dev/shm/run/{name}.journals" in job.words(), job.words()
    assert re.search(r"rank 2 \(pid \d+ on n3\) has given no sign of life for \d+ s: this run ends here", job.words()), job.words()
    result = job.result(name)
    assert not result.attributes["whole"] and "2 left none" in result.attributes["verdict"] and result.figures["acknowledged_inserts"] > 0


@pytest.fixture
def patient_lab(tmp_path: Path) -> Iterator[Lab]:
    """One that leaves ranks time to miss each other."""
    lab = Lab(tmp_path / "lab", kill_wait_s=40)
    yield lab
    lab.close()


def test_lost_ranks(lab: Lab, patient_lab: Lab, server: Mock, tmp_path: Path, write_job: WriteJob) -> None:
    """One rank of each of two jobs is killed: srun -K ends the others, and what each did is in the merged result, also where each node has its own journals.
    Of the second job, rank 2 finds it silent and ends, and is then missed by the other node: it is not named as what ended the run."""
    yaml, (here, there) = write_job(ENDLESS), (tmp_path / "shared", tmp_path / "apart")
    here.mkdir()
    there.mkdir()
    shared, apart = under_load(lab, server, here, yaml), local(patient_lab, server, there, yaml)
    killed = {job: kill_a_rank(job) for job in (shared, apart)}
    for job, pid in killed.items():
        assert job.end() == UNUSABLE, job.words()
        assert_names(job, pid)
    assert {2, 3} <= named(apart.words().partition("\nslurm: the ranks ended")[0]), apart.words()
    assert_gathered(patient_lab, apart)


def kill_a_rank(job: Job) -> int:
    """The second one of n2: its pid."""
    pid = ranks_on(job.lab, "n2", job)[1]
    os.kill(pid, signal.SIGKILL)
    return pid


def assert_names(job: Job, killed: int) -> None:
    """The rank that was killed, by number, process and node, and it alone; what all did is there."""
    result = job.result("single-{job}.h5")
    rank = next(row for row in result.tables["ranks"] if row["pid"] == killed)
    assert (rank["rank"], rank["host"], rank["missing"]) == (3, "n2", 1)
    assert f"rank 3 (pid {killed} on n2)" in result.attributes["verdict"], job.words()
    assert named(result.attributes["verdict"]) == {3}, job.words()
    wrote = {result.tables["workers"][row.worker]["rank"] for row in result.ledger.values()}
    assert {result.tables["ranks"][rank]["host"] for rank in wrote} == {"n1", "n2"}


def assert_gathered(lab: Lab, job: Job) -> None:
    """From both nodes, of which none sees the other's."""
    gathered = job.results / f"single-{job.number}.h5.journals"
    assert f"/dev/shm/run/single-{job.number}.h5.journals on each node; gathered into {gathered}" in job.words()
    assert [sorted(path.name for path in (gathered / node).glob("*.journal")) for node in ("n1", "n2")] == BY_NODE == journals_of(lab, job)


# --- no file system that all nodes share: /dev/shm is each node's own -------------------------------------------------


def on(lab: Lab, node: str, path: str) -> Path:
    """A node's path, as this machine sees it."""
    return Path(f"/proc/{(lab.folder / f'node.{node}').read_text().strip()}/root{path}")


def local(lab: Lab, server: Mock, results: Path, yaml: Path, *options: str) -> Job:
    job = lab.submit(results, "single", yaml, "--progress", 1, "--output-local", "/dev/shm/run", "--silence", 10, options=[*TWO_NODES, *options], MILVUS_URI=server.uri)
    job.wait_for_words(r"load \d+ s")
    return job


def journals_of(lab: Lab, job: Job) -> list[list[str]]:
    """What each node has, seen from outside."""
    return [sorted(path.name for path in on(lab, node, "/dev/shm/run").glob(f"single-{job.number}.h5.journals/*.journal")) for node in ("n1", "n2")]


BY_NODE = [["rank-00000.journal", "rank-00001.journal"], ["rank-00002.journal", "rank-00003.journal"]]


def test_local_journals(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """Each node's in a folder of its own; at an orderly end rank 0 has all, and they are gone."""
    job = local(lab, server, results, write_job(ENDLESS))
    assert journals_of(lab, job) == BY_NODE and not (results / f"single-{job.number}.h5.journals").exists()
    lab.run("scancel", "--batch", "--signal=USR1", job.number)
    assert job.end() == GOOD, job.words()
    result = job.result("single-{job}.h5")
    assert result.attributes["audited"] and result.figures["scanned"] > 0
    assert {result.tables["ranks"][worker["rank"]]["host"] for worker in result.tables["workers"] if worker["role"] == "writer"} == {"n1", "n2"}
    assert journals_of(lab, job) == [[], []]


def test_soak_over_the_limit(soaks: Soaks) -> None:
    """The time limit's signal ends a part in order; requeued, the job audits its rows again and goes on with them, and at its end drops those of both parts."""
    job, server = soaks.good
    assert job.end(150) == 0, job.words()
    assert int(job.records()[0]["Restarts"]) == 2
    assert codes(job) == ["0 part-1", "0 part-1 again", "0 part-2", "0 part-2 end"]
    first, again, second, end = (job.result(f"soak-{{job}}/part-{name}.h5") for name in ("1", "1.again-1", "2", "2.end-2"))
    for part, later in ((first, again), (second, end)):
        assert part.attributes["audited"] and part.attributes["collection"] == f"slurm_{job.number}_part_1"
        assert later.attributes["parent"] == part.attributes["run_id"] and later.figures["scanned"] == part.figures["scanned"] > 0
    assert (second.attributes["continues"], second.attributes["part"]) == (first.attributes["run_id"], 2)
    assert second.figures["scanned"] > first.figures["scanned"]
    assert all(vars(second.ledger[key]) == vars(row) for key, row in first.ledger.items())
    assert collections(server) == []


def test_soak_looks_at_all_its_parts(soaks: Soaks) -> None:
    """The first part is audited again, then loses a row: found by the second part, whose audit is of all; it ends the soak, and all is kept."""
    job, server = soaks.loser
    assert job.end(150) == VIOLATED, job.words()
    assert codes(job) == ["0 part-1", "0 part-1 again", "2 part-2"]
    assert job.result("soak-{job}/part-2.h5").found["lost"] == {min(job.result("soak-{job}/part-1.h5").live())}
    assert collections(server) == [f"slurm_{job.number}_part_1"]
