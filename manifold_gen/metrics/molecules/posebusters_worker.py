"""The process in which PoseBusters runs. It ends where a molecule takes too long, because nothing milder stops it.

Conformations of strained cages are embedded in compiled code, which no exception interrupts and which may not return
for minutes. So the process asks the system for a signal after so many seconds of its own processor time and does not
handle it: it dies, and whoever started it starts another for the next molecule.

It is run as a file and not as a module of the package, so that it starts without torch. Each line that it reads is a
JSON object ``{"molecule": RDKit's binary form in base 64, "seconds": …}``, each line that it writes the list of the
tests that this molecule does not pass.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import sys

from posebusters import PoseBusters
from rdkit import Chem, RDLogger


def judge() -> PoseBusters:
    """PoseBusters' tests of a lone molecule on one thread, without what is computed and not tested.

    The published configuration computes the energy ratio twice; the first time nothing is read from it.
    """
    config = PoseBusters(config="mol").config
    config["modules"] = [module for module in config["modules"] if module.get("chosen_binary_test_output")]
    for module in config["modules"]:
        if module["function"] == "energy_ratio":
            module["parameters"]["num_threads"] = 1
    return PoseBusters(config=config)


def failed_tests(buster: PoseBusters, mol: Chem.Mol) -> list[str]:
    """Names of the tests that the molecule does not pass; a test without a result is not passed."""
    table = buster.bust([mol], None, None)
    passed = (table == True).to_numpy()[0]  # noqa: E712 - a missing result compares unequal, as it should
    return [test for test, well in zip(table.columns, passed, strict=True) if not well]


def main() -> None:
    """Answer line by line until there is no more to read."""
    # Answers go where output went; what the libraries print goes to the errors, and their warnings nowhere.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    RDLogger.DisableLog("rdApp.*")
    logging.disable(logging.CRITICAL)
    buster = judge()
    for line in sys.stdin:
        task = json.loads(line)
        mol = Chem.Mol(base64.b64decode(task["molecule"]))
        signal.setitimer(signal.ITIMER_PROF, task["seconds"])
        failed = failed_tests(buster, mol)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(failed), file=answers, flush=True)


if __name__ == "__main__":
    main()
