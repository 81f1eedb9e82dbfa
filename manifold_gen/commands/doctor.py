"""``manifold-gen doctor``: is the installation in order?"""

from __future__ import annotations

import click

from manifold_gen.commands.console import Console, common_options


@click.command()
@common_options
def doctor(console: Console) -> int:
    """Show versions, devices, threads and extras, and run a self-test of five seconds."""
    from manifold_gen.doctor import examine

    report = examine()
    console.heading("Versions")
    for name, version in report.versions.items():
        console.say(f"  {name:<13} {version}")
    console.heading("Devices")
    for device in report.devices:
        console.say(f"  {device}")
    console.say(f"  threads       {report.threads}")
    console.heading("Extras")
    for extra in report.extras:
        console.say(f"  {extra.name:<13} {extra.purpose}: {'installed' if extra.installed else extra.install}")
    console.heading("Self-test")
    verdict = "passed" if report.self_test.passed else "FAILED"
    console.say(f"  {verdict} in {report.self_test.seconds:.1f} s: {report.self_test.detail}")
    console.result(report.to_dict())
    return 0 if report.self_test.passed else 1
