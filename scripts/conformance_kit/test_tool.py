"""What is read from the tool's results: `python3 -m unittest discover scripts/conformance_kit` from the root."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conformance_kit import report  # noqa: E402
from conformance_kit.stack import TENANTS  # noqa: E402
from conformance_kit.tool import keep_worst, read_result  # noqa: E402


def scenario(status, steps=(), message=""):
    """A result file as the tool writes it."""
    return {
        "name": "Storage.V1.ImageError",
        "status": status,
        "statusDetails": {"message": message},
        "start": 1_000,
        "stop": 3_500,
        "steps": list(steps),
    }


FAILED = scenario(
    "failed",
    [
        {"name": "Create a workspace", "status": "passed", "steps": []},
        {
            "name": "Create an image",
            "status": "failed",
            "steps": [{"name": "ASSERT: No Error", "status": "failed", "statusDetails": {"message": "Error: refused"}}],
        },
    ],
)


class Outcomes(unittest.TestCase):
    def test_a_failed_scenario_keeps_its_step(self):
        for results in ([FAILED], [FAILED, scenario("passed")], [scenario("passed"), FAILED]):
            found = {}
            for result in results:
                keep_worst(found, read_result(result))
            kept = found["Storage.V1.ImageError"]
            self.assertEqual((kept["result"], kept["step"], kept["message"]), ("failed", "Create an image", "refused"))

    def test_what_was_said_is_found_behind_the_places_in_the_sources(self):
        places = "\n\tError Trace:\t/a/wrapper.go:205\n\t            \t\t/a/helper.go:27"
        said = "\n\tError:      \tReceived unexpected error:\n\t            \trequest precondition failed"
        trace = f"{places}{said}\n\tTest:       \tStorage.V1.ImageError\n\tMessages:   \tShould not return an error\n"
        details = {"message": places[:40], "trace": trace}
        step = {"name": "Create an image", "status": "failed", "statusDetails": details}
        outcome = read_result(scenario("failed", [step]))
        self.assertEqual(outcome["step"], "Create an image")
        self.assertEqual(
            outcome["message"], "Should not return an error: Received unexpected error: request precondition failed"
        )
        details["trace"] = ""
        self.assertEqual(read_result(scenario("failed", [step]))["message"], "the tool says only: failed")

    def test_the_first_of_two_failures_counts(self):
        found = {}
        for result in (FAILED, scenario("failed", message="Error: later")):
            keep_worst(found, read_result(result))
        self.assertEqual(found["Storage.V1.ImageError"]["message"], "refused")

    def test_a_scenario_that_passed_has_no_step(self):
        found = {}
        keep_worst(found, read_result(scenario("passed")))
        kept = found["Storage.V1.ImageError"]
        self.assertEqual((kept["result"], kept["seconds"], kept["step"]), ("passed", 2.5, ""))


class ByChance(unittest.TestCase):
    NAME = "Compute.V1.ProviderLifeCycle"

    def outcomes(self, result, step):
        return {tenant: {self.NAME: {"result": result, "step": step, "message": "refused"}} for tenant in TENANTS}

    def wrong(self, setup, step):
        return [it for it in report.judge(self.outcomes("failed", step), [self.NAME], setup) if "the tool has" not in it]

    def test_only_the_change_of_a_zone_may_fail_and_only_where_there_are_several(self):
        self.assertEqual(self.wrong("locations", "Update the instance"), [])
        self.assertEqual(len(self.wrong("locations", "Start the instance")), 3)
        self.assertEqual(len(self.wrong("plain", "Update the instance")), 3)

    def test_a_run_that_chance_decided_says_nothing_beside_another(self):
        def run(setup, result):
            return {"setup": setup, "outcomes": self.outcomes(result, "Update the instance" if result == "failed" else "")}

        for setup, results in (("plain", "passed"), ("plain", "failed")):
            merged = report.merge([run("locations", "failed"), run(setup, results)], [self.NAME])
            self.assertEqual(merged["strict"][self.NAME]["result"], results)
        alone = report.merge([run("locations", "failed")], [self.NAME])
        self.assertEqual(alone["late"][self.NAME]["result"], "failed")


if __name__ == "__main__":
    unittest.main()
